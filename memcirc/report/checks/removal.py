"""What a page shows of the circuit taken out of the model by the values of its twin."""

from collections.abc import Iterator, Sequence

from memcirc.report.claims import Answer, Claim
from memcirc.report.evidence import Evidence
from memcirc.report.figures import CHANCE, MUTED, styled
from memcirc.report.loss_bars import Bars, loss_bars, of_the_circuit
from memcirc.report.plotting import Figure
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View, one_plot
from memcirc.verification.removal import ADDED, MEMORIZED, NEGLIGIBLE, TIMES, Removal, others, specific


@styled
def added_losses(rows: Sequence[Removal]) -> Figure:
    """What taking the circuit out adds to the loss of each kind of text, beside all edges and random circuits."""
    return loss_bars(rows, _bars, _label, "{mode}, {row.n_edges} edges taken out")


def _bars(rows: Sequence[Removal]) -> list[Bars]:
    return [
        of_the_circuit([r.added for r in rows], [(r.low, r.high) for r in rows]),
        Bars("everything", MUTED, [r.everything - r.intact for r in rows]),
        Bars("random circuits of its size", CHANCE, [r.random_added for r in rows]),
    ]


def _label(row: Removal) -> str:
    return row.text.replace(" random", "\nrandom").replace("found ", "found\n")


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    rows = evidence.of(Removal)
    if not rows:
        return
    own, most = _memorized(rows), _most(rows)
    if most is None:
        yield Finding(f"{label}: there is no other text that the model knows.")
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


def _memorized(rows: Sequence[Removal]) -> Removal:
    return next(row for row in rows if row.text == MEMORIZED)


def _most(rows: Sequence[Removal]) -> Removal | None:
    """The other text that is harmed most; None where the model knows none."""
    return max(others(rows), key=lambda row: row.added, default=None)


def _specific(circuit: Evidence) -> Answer | None:
    rows = circuit.of(Removal)
    if not rows:
        return None
    own, most = _memorized(rows), _most(rows)
    if most is None:
        return Answer(None, "no other text", "there is no other text that the model knows")
    by_chance = own.low is not None and own.low <= own.random_q95
    beside = f"random {own.random_q95:.2f} (95 %)" if by_chance else f"other text {most.added:.2f}"
    return Answer(
        specific(rows), f"{own.added:.2f} nats, {beside}",
        f"the twin's values in its place cost memorized passages {own.added:.2f} nats a token and other text at most "
        f"{most.added:.2f}; in random circuits of its size they cost memorized passages {own.random_added:.2f} (95 % "
        f"of them at most {own.random_q95:.2f})",
    )  # fmt: skip


CLAIMS = (
    Claim(
        "specific, by the twin",
        f"With the twin's values in its place memorized passages lose at least {TIMES:g} times as much as other text "
        f"({ADDED:g} nats where that loses nothing), and more than by 95 % of random circuits.",
        _specific,
    ),
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
VIEW = View(TABLES, one_plot(Removal, "removal", added_losses, CAPTION), _findings, CLAIMS)
