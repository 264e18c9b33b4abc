"""What a page shows of circuits across data sets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memcirc.artifacts import read_json, write_json
from memcirc.report.claims import Answer, Claim
from memcirc.report.drawing import draw
from memcirc.report.evidence import FEWEST_PAIRS, Evidence
from memcirc.report.figures import INK, heat, panels, styled
from memcirc.report.numbers import unusual
from memcirc.report.plotting import Figure
from memcirc.report.sections import Finding, Section, TableBlock
from memcirc.report.view import card_line, noted
from memcirc.statistics import usual
from memcirc.verification.transfer import Cell

KEPT = 0.5
COLUMNS = ("circuit", "data", "mode", "direction", "n_edges", "n_pairs", "n_seen", "faithfulness", "low", "high",
           "nothing", "everything", "note")  # fmt: skip


def transfer_section(path: Path, out: Path) -> Section:
    """The matrices between tasks and, where measured, between subsets."""
    content: Mapping[str, Any] = read_json(path)
    cells = _cells(content)
    rows = [noted(row) for row in content["cells"]]
    write_json(out / "tables" / "transfer.json", rows)
    families: dict[str, list[Cell]] = {}
    for cell in cells:
        family = cell.circuit.split("@")[0] + " subsets" if "@" in cell.circuit else "tasks"
        families.setdefault(family, []).append(cell)
    drawings = tuple(
        draw(
            out,
            "transfer_" + name.replace(" ", "_"),
            transfer_matrices(some),
            f"Transfer, {name}: circuits (rows) on test pairs (columns), each with that data's own ends; below each "
            "number its 95 % interval over documents, where there are enough of them.",
        )
        for name, some in families.items()
    )
    table = TableBlock(COLUMNS, rows, "All cells", card=card_line(rows))
    return Section(
        "Transfer between data sets",
        findings=tuple(transfer_findings(cells)),
        drawings=drawings,
        tables=(table,),
        refused=tuple(content["refused"]),
    )


def _cells(content: Mapping[str, Any]) -> list[Cell]:
    return [Cell.from_json(row) for row in content["cells"]]


def cells_of(path: Path | None) -> tuple[Cell, ...]:
    """The cells of a file; none without one."""
    return () if path is None else tuple(_cells(read_json(path)))


def _transfers(circuit: Evidence) -> Answer | None:
    """Does the circuit do on another task's pairs what it does on its own? The worst of them counts."""
    found = {cell.data: cell.measured for cell in circuit.elsewhere if circuit.is_own(cell.measured.way)}
    home = found.pop(circuit.task, None)
    tasks = {name: row.faithfulness for name, row in found.items() if ": " not in name}
    others = {name: value for name, value in tasks.items() if value is not None}
    if home is None or home.faithfulness is None or not others:
        return None
    worst = min(others, key=lambda name: others[name])
    there, pairs = others[worst], found[worst].n_pairs
    few = pairs < FEWEST_PAIRS
    return Answer(
        None if few else usual(there) and there >= KEPT * home.faithfulness,
        f"{there:.2f} on {worst}",
        f"it {home.way.verb} {home.faithfulness:.2f} on pairs of {circuit.task}, and {there:.2f} on {pairs} of {worst}"
        f"{', too few to tell' if few else ''}",
    )


CLAIM = Claim(
    "transfers",
    f"On the pairs of every other task it does at least {KEPT:.0%} of what it does on its own.",
    _transfers,
    of_test_pairs=False,
)


@styled
def transfer_matrices(cells: Sequence[Cell]) -> Figure:
    """Faithfulness of circuits (rows) on data sets (columns), with 95 % intervals, a panel for each way to run them."""
    keys = list(dict.fromkeys((c.measured.mode, c.measured.direction) for c in cells))
    circuits = list(dict.fromkeys(c.circuit for c in cells))
    data = list(dict.fromkeys(c.data for c in cells))
    width = 1.7 + 0.62 * len(data)
    figure, grid = panels(len(keys), width=width, height=1.9 + 0.42 * len(circuits), columns=2 if width < 5 else 1)
    for axes, (mode, direction) in zip(grid, keys, strict=True):
        values = np.full((len(circuits), len(data)), np.nan)
        for cell in cells:
            found = cell.measured
            if (found.mode, found.direction) != (mode, direction) or found.faithfulness is None:
                continue
            row, column = circuits.index(cell.circuit), data.index(cell.data)
            values[row, column] = found.faithfulness
            written = {"ha": "center", "va": "center", "color": "white" if found.faithfulness > 0.45 else INK}
            axes.text(column + 0.5, row + 0.4, f"{found.faithfulness:.2f}", **written)
            if found.low is not None:
                axes.text(column + 0.5, row + 0.74, f"{found.low:.2f}–{found.high:.2f}", fontsize=5.5, **written)
        heat(axes, values, [name.replace(": ", ":\n") for name in data], circuits, (-0.4, 1.2))
        axes.set_title(f"{mode}, {direction}")
        axes.spines[:].set_visible(False)
    return figure


def transfer_findings(cells: Sequence[Cell]) -> list[Finding]:
    """What each task's circuit does on the other task, beside its own."""
    found = []
    names = [name for name in dict.fromkeys(cell.circuit for cell in cells) if "@" not in name]
    by = {
        (c.circuit, c.data, c.measured.mode, c.measured.direction): c.measured
        for c in cells
        if c.measured.faithfulness is not None
    }
    for circuit in names:
        for other in names:
            for mode in dict.fromkeys(cell.measured.mode for cell in cells):
                base = "noising" if mode == "tree" else "denoising"
                own, there = by.get((circuit, circuit, mode, base)), by.get((circuit, other, mode, base))
                if circuit != other and own is not None and there is not None:
                    beyond = unusual(there.to_json())
                    few = " So few pairs prove nothing." if there.n_pairs < FEWEST_PAIRS else ""
                    found.append(
                        Finding(
                            f"Transfer, {mode}: the circuit of {circuit} {there.way.verb} {there.faithfulness:.2f} "
                            f"on {other} ({there.n_pairs} pairs of documents it was not found on; "
                            f"{own.faithfulness:.2f} on its own{beyond and f'; {beyond}'}).{few}"
                        )
                    )
    return found
