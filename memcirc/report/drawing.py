"""A figure on a page: inlined, and kept as a file for papers."""

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from memcirc.artifacts import write_text
from memcirc.report.figures import svg
from memcirc.report.plotting import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure with its name and caption."""

    name: str
    caption: str
    svg: Markup


def draw(out: Path, name: str, figure: Figure, caption: str) -> Drawing:
    """Write ``out/figures/NAME.svg`` and return what the page needs."""
    text = svg(figure)
    write_text(out / "figures" / f"{name}.svg", text)
    return Drawing(name, caption, Markup(text))
