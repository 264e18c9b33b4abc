"""What a page shows of the circuit by copies."""

from collections.abc import Iterator, Sequence

import numpy as np

from memcirc.report.figures import CHANCE, FOUND, INK, styled
from memcirc.report.plotting import Figure
from memcirc.report.sections import Finding
from memcirc.report.view import Evidence, Table, View, by_mode, one_plot
from memcirc.verification.dose import Dose


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
    figure.axes[0].set_ylabel(f"mean {rows[0].metric}")
    figure.axes[0].legend(frameon=False, fontsize=7.5)
    return figure


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    rows = evidence.of(Dose)
    if not rows or rows[0].trend is None:
        return
    parts = [f"{row.carried:.1f} at {row.copies} (n = {row.n_pairs})" for row in rows]
    first = rows[0]
    yield Finding(
        f"{label}: by copies the circuit carries {', '.join(parts)} of the {first.metric}; rank correlation "
        f"{first.trend:.2f} (p {first.trend_p:.2f}) among memorized documents."
    )


TABLES = (
    Table(
        Dose, "Dose and response: the circuit by copies",
        ("mode", "copies", "direction", "n_pairs", "nothing", "circuit", "everything", "carried", "faithfulness",
         "trend", "trend_p",
         "note"),
        "carried: mean metric under the circuit less that with nothing; trend: rank correlation of copies with each "
        "pair's own, and its p-value.",
    ),
)  # fmt: skip
CAPTION = "Dose and response inside the circuit: the mean metric by copies of the document in the corpus."
VIEW = View(TABLES, one_plot(Dose, "dose", dose_figure, CAPTION), _findings)
