"""What a page shows of a check: its tables, its figures and what it finds, from typed records.

Each check has a module of its name in ``report/checks/`` that holds its ``VIEW``; there is no other list of them.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from memcirc.interventions import RunSettings
from memcirc.report.claims import Claim
from memcirc.report.evidence import Evidence
from memcirc.report.figures import panels
from memcirc.report.numbers import unusual
from memcirc.report.plotting import Axes, Figure
from memcirc.report.sections import Finding, TableBlock
from memcirc.verification.checks import CHECKS
from memcirc.verification.record import AnyRecord, Record
from memcirc.verification.result import Verification

CARD = ("model", "revision", "dtype", "bos", "split", "pairs", "ablation", "base", "direction", "selection",
        "averaging", "seed")  # fmt: skip
R = TypeVar("R", bound=Record)
M = TypeVar("M", bound=AnyRecord)


@dataclass(frozen=True)
class Plot:
    """A figure with its name among those of a task, and its caption."""

    name: str
    figure: Figure
    caption: str


def one_plot(
    record: type[R], name: str, draw: Callable[[Sequence[R]], Figure], caption: str
) -> Callable[[Evidence], Iterator[Plot]]:
    """Gives the figure of all records of a type, where there are any."""

    def plots(evidence: Evidence) -> Iterator[Plot]:
        if rows := evidence.of(record):
            yield Plot(name, draw(rows), caption)

    return plots


def by_mode(rows: Sequence[M], height: float, **options: Any) -> tuple[Figure, list[tuple[Axes, str, list[M]]]]:
    """A figure with a panel for each mode: its axes, the mode and its records."""
    modes = list(dict.fromkeys(row.mode for row in rows))
    figure, grid = panels(len(modes), height=height, **options)
    return figure, [
        (axes, mode, [row for row in rows if row.mode == mode]) for axes, mode in zip(grid, modes, strict=True)
    ]


def _itself(record: Any) -> Iterable[Mapping[str, Any]]:
    return ({},)


@dataclass(frozen=True)
class Table:
    """A table of the records of one type.

    Attributes:
        about: what its columns mean.
        lines: gives of a record what each of its lines in the table has besides its own fields; default: one line, and
            nothing.
    """

    record: type[AnyRecord]
    title: str
    columns: tuple[str, ...]
    about: str
    lines: Callable[[Any], Iterable[Mapping[str, Any]]] = _itself

    def block(self, verification: Verification) -> TableBlock:
        """The table of a verification, with its evaluation card."""
        told = zip(verification.rows(self.record), verification.of(self.record), strict=True)
        rows = [noted({**row, **line}) for row, record in told for line in self.lines(record)]
        return TableBlock(self.columns, rows, self.title, self.about, card_line(rows))


def _no_figures(evidence: Evidence) -> Iterator[Plot]:
    return iter(())


def _no_findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    return iter(())


@dataclass(frozen=True)
class View:
    """What a page shows of a check.

    Attributes:
        tables: shown where there are records of their type.
        figures: gives the figures of all modes; none where there is nothing to draw.
        findings: gives sentences from a label and the evidence of one mode; none where there is nothing to say.
        claims: what of a circuit it can bear out or refute, as rows of the page's first table.
    """

    tables: tuple[Table, ...] = ()
    figures: Callable[[Evidence], Iterator[Plot]] = _no_figures
    findings: Callable[[str, Evidence], Iterator[Finding]] = _no_findings
    claims: tuple[Claim, ...] = ()


def views() -> list[View]:
    """The views of all checks, in the order of the checks."""
    return [importlib.import_module(f"memcirc.report.checks.{name}").VIEW for name in CHECKS]


def tables_of(verification: Verification) -> list[TableBlock]:
    """The tables that a verification has records for."""
    blocks = (table.block(verification) for view in views() for table in view.tables)
    return [block for block in blocks if block.rows]


def figures_of(evidence: Evidence) -> list[Plot]:
    """The figures that there is something to draw for."""
    return [plot for view in views() for plot in view.figures(evidence)]


def findings_of(evidence: Evidence) -> list[Finding]:
    """What the checks found, mode by mode; of too few test pairs every line says so, and no threshold is met
    or missed."""
    found = [
        finding
        for mode in evidence.modes
        for view in views()
        for finding in view.findings(_label(evidence, mode), evidence.of_mode(mode))
    ]
    few = evidence.few_pairs
    if few is None:
        return found
    return [Finding(f"{finding.text} Too few test pairs ({few}) to tell.") for finding in found]


def claims() -> list[Claim]:
    """What the checks can bear out or refute, in the order of the checks."""
    return [claim for view in views() for claim in view.claims]


def _label(evidence: Evidence, mode: str) -> str:
    """The circuit that findings are about."""
    found_in = RunSettings(mode, evidence.ablation, reverse=mode == "edge")
    return f"{evidence.task}, {found_in.role} circuit ({mode})" if found_in.role else f"{evidence.task}, {mode}"


def noted(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row of a table, whose note says where its faithfulness must not be taken as it stands."""
    parts = [part for part in (row.get("note"), unusual(row)) if part]
    return {**row, "note": "; ".join(parts)}


def card_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """The columns of the evaluation card that are the same in all rows, in one line; those that differ are said to be
    by row."""
    words = []
    for key in CARD:
        values = {str(row.get(key)) for row in rows if key in row}
        if len(values) == 1:
            value = values.pop()
            words.append(f"{key}: {'not stated' if value == 'None' else value}")
        elif values == {"clean", "corrupt"}:
            words.append(f"{key}: clean where noising, corrupt where denoising")
        elif values:
            words.append(f"{key}: by row")
    return "; ".join(words)
