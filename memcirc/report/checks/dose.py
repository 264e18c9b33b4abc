"""What a page shows of the circuit by copies."""

from collections.abc import Iterator, Sequence

import numpy as np

from memcirc.report.evidence import Evidence
from memcirc.report.figures import CHANCE, FOUND, INK, styled
from memcirc.report.numbers import in_unit, unit_of
from memcirc.report.plotting import Figure
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View, by_mode, one_plot
from memcirc.verification.dose import Dose
from memcirc.verification.hypothesis_tests import LEVEL


@styled
def dose_figure(rows: Sequence[Dose]) -> Figure:
    """Mean metric with nothing, the circuit and everything, against copies."""
    figure, grid = by_mode(rows, 2.5, sharey=True)
    for axes, mode, some in grid:
        x = np.arange(len(some))
        axes.plot(x, [r.everything for r in some], "o-", color=INK, label="everything")
        axes.plot(x, [r.circuit for r in some], "o-", color=FOUND, label="circuit")
        axes.plot(x, [r.nothing for r in some], "o-", color=CHANCE, label="nothing")
        axes.set_xticks(x, [f"{r.copies}\nn = {r.n_pairs}" for r in some])
        axes.set(title=f"{mode}, {some[0].n_edges} edges", xlabel="copies in the corpus")
    unit = unit_of(rows[0].metric)
    figure.axes[0].set_ylabel(f"mean {rows[0].metric}{unit and f', {unit}'}")
    figure.axes[0].legend(frameon=False, fontsize=7.5)
    return figure


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    rows = evidence.of(Dose)
    if not rows or rows[0].trend is None:
        return
    first = rows[0]
    parts = [f"{in_unit(row.carried, first.metric)} at {_times(row.copies)} (n = {row.n_pairs})" for row in rows]
    yield Finding(
        f"{label}: the circuit moves the {first.metric} by {', '.join(parts)}; rank correlation of that with copies "
        f"{first.trend:.2f} (p {first.trend_p:.2f}{_power(first)})."
    )


def _power(row: Dose) -> str:
    """What would have been found, where nothing was."""
    if row.trend_p is None or row.trend_p <= LEVEL or row.trend_detectable is None:
        return ""
    return f"; one of {row.trend_detectable:.2f} would have been seen in 80 % of all cases"


def _times(copies: int) -> str:
    return "1 copy" if copies == 1 else f"{copies} copies"


TABLES = (
    Table(
        Dose, "Dose and response: the circuit by copies",
        ("mode", "copies", "direction", "n_pairs", "nothing", "circuit", "everything", "carried", "faithfulness",
         "trend", "trend_p", "trend_detectable", "note"),
        "nothing, circuit, everything: means of the metric, in nats where it is a logit or a log-probability; carried: "
        "by how much the circuit moves the mean from nothing towards everything; trend: rank correlation of copies "
        "with each pair's own, and its p-value; trend detectable: the correlation that would have been found in 80 % "
        "of all cases.",
    ),
)  # fmt: skip
CAPTION = "Dose and response inside the circuit: the mean metric by copies of the document in the corpus."
VIEW = View(TABLES, one_plot(Dose, "dose", dose_figure, CAPTION), _findings)
