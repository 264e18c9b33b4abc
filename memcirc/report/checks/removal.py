"""What a page shows of the circuit taken out of the model by the values of its twin."""

from collections.abc import Iterator, Sequence

import numpy as np

from memcirc.report.figures import CHANCE, FOUND, MUTED, styled
from memcirc.report.plotting import Figure
from memcirc.report.sections import Finding
from memcirc.report.view import Evidence, Table, View, by_mode, one_plot
from memcirc.verification.removal import ADDED, MEMORIZED, NEGLIGIBLE, TIMES, Removal, others, specific


@styled
def added_losses(rows: Sequence[Removal]) -> Figure:
    """What taking the circuit out adds to the loss of each kind of text, beside all edges and random circuits."""
    figure, grid = by_mode(rows, 2.9, sharey=True)
    for axes, mode, some in grid:
        x = np.arange(len(some))
        added = np.array([r.added for r in some])
        bounds = np.array([(r.low, r.high) for r in some], dtype=float).T
        axes.bar(x - 0.27, added, 0.26, yerr=np.abs(bounds - added), capsize=2, color=FOUND,
                 label="the circuit (95 % interval)")  # fmt: skip
        axes.bar(x, [r.everything - r.intact for r in some], 0.26, color=MUTED, label="everything")
        axes.bar(x + 0.27, [r.random_added for r in some], 0.26, color=CHANCE, label="random circuits of its size")
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set_xticks(x, [r.text.replace(" random", "\nrandom").replace("found ", "found\n") for r in some])
        axes.set_title(f"{mode}, {some[0].n_edges} edges taken out")
        axes.tick_params(axis="x", labelsize=7)
    figure.axes[0].set_ylabel("added loss, nats a token")
    figure.axes[0].legend(frameon=False, fontsize=7, loc="lower left", bbox_to_anchor=(0.0, 1.12), ncols=3)
    return figure


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    rows = evidence.of(Removal)
    if not rows:
        return
    own = next(row for row in rows if row.text == MEMORIZED)
    most = max(others(rows), key=lambda row: row.added, default=None)
    if most is None:
        yield Finding(f"{label}: there is no other text that the model knows.", False)
        return
    bounds = "" if own.low is None else f" ({own.low:.2f} to {own.high:.2f})"
    share = f"{own.n_edges} edges" if own.n_edges != 1 else "1 edge"
    passed_over = [row.text for row in rows if row.intact >= row.guessing]
    worse = f"; {', '.join(passed_over)} it knows worse than by guessing, which is not counted" if passed_over else ""
    yield Finding(
        f"{label}: taken out by the twin's values, its {share} add {own.added:.2f}{bounds} nats a token to "
        f"{own.n_passages} memorized passages that it was not found on, of {own.everything - own.intact:.2f} that "
        f"taking everything out adds, and at most {most.added:+.3f} to text that the twin knows as well "
        f"({most.text}){worse}; random circuits of its size add {own.random_added:.2f} (95th percentile "
        f"{own.random_q95:.2f}; threshold: more than that, and {TIMES:g} times as much as to other text, or "
        f"{ADDED:g} where that is below {NEGLIGIBLE:g}).",
        specific(rows),
    )


TABLES = (
    Table(
        Removal, "Specificity: the circuit taken out by its twin's values",
        ("mode", "text", "n_passages", "intact", "removed", "added", "low", "high", "everything", "random_added",
         "random_q95"),
        "Loss of the completion in nats a token, of the model (intact), with the circuit's edges carrying what they "
        "carry in the twin (removed), and with all of them doing so (everything); added: removed less intact, with its "
        "95 % bootstrap interval over passages; random added: the mean (95th percentile) of connected random circuits "
        "of its size.",
    ),
)  # fmt: skip
CAPTION = (
    "The circuit taken out of the model by the values of its twin, which has not learned the memorized passages and "
    "knows the other text as well: the loss that this adds to each. The circuit of a memory raises the first bars "
    "alone."
)
VIEW = View(TABLES, one_plot(Removal, "removal", added_losses, CAPTION), _findings)
