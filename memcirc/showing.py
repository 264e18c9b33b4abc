"""How a record shows itself in a notebook: as the page's own pieces, which :mod:`memcirc.report.shown` makes.

Records stand above the report, which knows them and which they do not import; so it is looked up here, by name, when a
notebook first asks.
"""

import importlib

MAKER = "memcirc.report.shown"


class Shown:
    """A record that a notebook shows as a section of a page."""

    def _repr_html_(self) -> str:
        """The record as HTML that brings its own style and fetches nothing."""
        html: str = importlib.import_module(MAKER).html_of(self)
        return html
