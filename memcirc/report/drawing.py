"""A figure on a page: inlined in the page's own colours, and kept as files for papers."""

from dataclasses import dataclass
from pathlib import Path

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from memcirc.artifacts import write_bytes, write_text
from memcirc.report.figures import CHANCE, FOUND, INK, MUTED, pdf, svg
from memcirc.report.numbers import visible
from memcirc.report.plotting import Figure
from memcirc.report.readings import Reading, mark_panels, readings_of

PAGE_COLOURS = {INK: "ink", MUTED: "muted", FOUND: "found", CHANCE: "chance"}


@dataclass(frozen=True)
class Drawing:
    """A figure with its name and caption, and what its points say; ``on_white``: it has cells or labels that need
    white paper behind them, whatever the page's colours."""

    name: str
    caption: str
    svg: Markup
    on_white: bool = False
    readings: tuple[Reading, ...] = ()

    @property
    def data(self) -> Markup:
        """What its points say, as JSON that can stand in a page."""
        told = [(reading.x, reading.y, visible(reading.text)) for reading in self.readings]
        return htmlsafe_json_dumps(told, ensure_ascii=False)


def draw(out: Path, name: str, figure: Figure, caption: str) -> Drawing:
    """Write ``out/figures/NAME.svg`` and ``NAME.pdf``, and return what the page needs."""
    mark_panels(figure)
    text, on_white = svg(figure), _on_white(figure)
    readings = readings_of(figure, text)
    figure.set_layout_engine("none")  # laid out once, for both files
    write_text(out / "figures" / f"{name}.svg", text)
    write_bytes(out / "figures" / f"{name}.pdf", pdf(figure))
    return Drawing(name, caption, Markup(text if on_white else in_page_colours(text)), on_white, readings)


def in_page_colours(text: str) -> str:
    """The figure with ink as the page has it, in the light and in the dark."""
    for colour, variable in PAGE_COLOURS.items():
        text = text.replace(colour, f"var(--{variable})")
    return text


def _on_white(figure: Figure) -> bool:
    """Whether it is a map of coloured cells, or has labels in boxes."""
    maps = any(part.get_array() is not None for axes in figure.axes for part in axes.collections)
    return maps or any(text.get_bbox_patch() is not None for axes in figure.axes for text in axes.texts)
