"""What is claimed of a circuit, and whether the numbers bear it out: the page's first table.

Each claim is said where its check is shown (``report/checks/``); here they become rows, and circuits columns.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from memcirc.report.evidence import Evidence
from memcirc.report.words import act

ORDER = (
    "faithful", "beyond chance", "more than the token", "minimal", "stable", "certain", "specific, by ordinary text",
    "specific, by the twin", "necessary", "recites by itself", "transfers",
)  # fmt: skip
"""A claim that is not named here stands behind them."""
GRAVE = ("faithful", "beyond chance")
"""Without these the others say nothing."""
SIGNS = {True: "✓ met", False: "✗ not met", None: "? cannot say"}


@dataclass(frozen=True)
class Answer:
    """Whether a claim holds (None: it cannot be said), by which number, and both in a sentence."""

    holds: bool | None
    number: str
    text: str

    @property
    def sign(self) -> str:
        """The verdict as a sign and a word."""
        return SIGNS[self.holds]


NOT_MEASURED = Answer(None, "not measured", "which was not measured beside others")


@dataclass(frozen=True)
class Claim:
    """Something to be shown of a circuit.

    Attributes:
        name: a word or two; claims of one name are one row, and the worst of their answers counts.
        asks: the same in a plain sentence, with its threshold.
        answer: reads it off the evidence of one mode; None where there is no record of it.
        of_test_pairs: whether it is about the test pairs, so that on too few of them it cannot be said.
    """

    name: str
    asks: str
    answer: Callable[[Evidence], Answer | None]
    of_test_pairs: bool = True


@dataclass(frozen=True)
class Column:
    """A circuit: its task, how it is put to the test, and its number of edges."""

    task: str
    way: str


@dataclass(frozen=True)
class Row:
    """A claim, and its answer for each circuit."""

    name: str
    asks: str
    answers: tuple[Answer, ...]

    @property
    def unmet(self) -> tuple[int, ...]:
        """The columns in which it is not met."""
        return tuple(i for i, answer in enumerate(self.answers) if answer.holds is False)


@dataclass(frozen=True)
class ClaimTable:
    """What is claimed of every circuit of a run."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def headings(self) -> tuple[str, ...]:
        """The columns of the same as plain rows."""
        return "claim", *(f"{column.task} ({column.way})" for column in self.columns)

    @property
    def lines(self) -> list[Mapping[str, str]]:
        """The same as plain rows."""
        cells = [(row.name, *(f"{answer.sign}: {answer.number}" for answer in row.answers)) for row in self.rows]
        return [dict(zip(self.headings, row, strict=True)) for row in cells]

    def counts(self) -> str:
        """How many claims are met, not met, and open."""
        answers = [answer.holds for row in self.rows for answer in row.answers]
        met, unmet, open_ = (sum(holds is verdict for holds in answers) for verdict in (True, False, None))
        return f"Of {len(answers)} claims {met} met, {unmet} not met; of {open_} the run cannot say."

    def worst(self) -> Row | None:
        """The claim that the most circuits do not meet; a grave one before others. None where all are met."""
        unmet = [row for row in self.rows if row.unmet]
        return max(unmet, key=lambda row: (row.name in GRAVE, len(row.unmet)), default=None)


def claim_table(claims: Iterable[Claim], found: Sequence[Evidence]) -> ClaimTable:
    """The table of some tasks' circuits."""
    rows: dict[str, list[Claim]] = {}
    for claim in claims:
        rows.setdefault(claim.name, []).append(claim)
    ordered = sorted(rows.items(), key=lambda item: ORDER.index(item[0]) if item[0] in ORDER else len(ORDER))
    circuits = [evidence.of_mode(mode) for evidence in found for mode in evidence.circuits]
    return ClaimTable(
        tuple(_column(circuit) for circuit in circuits),
        tuple(
            Row(name, " ".join(claim.asks for claim in same), tuple(answered(same, circuit) for circuit in circuits))
            for name, same in ordered
        ),
    )


def answered(claims: Sequence[Claim], circuit: Evidence) -> Answer:
    """The worst answer of claims of one name: one that is not met, else one that is."""
    given = [answer for claim in claims if (answer := _answer(claim, circuit)) is not None]
    return min(given, key=lambda answer: (False, True, None).index(answer.holds), default=NOT_MEASURED)


def _answer(claim: Claim, circuit: Evidence) -> Answer | None:
    answer, few = claim.answer(circuit), circuit.few_pairs
    if answer is None or few is None or not claim.of_test_pairs:
        return answer
    told = f"too few test pairs ({few})"
    return Answer(None, f"{answer.number}; {told}", f"{answer.text}, on {told} to tell")


def _column(evidence: Evidence) -> Column:
    (circuit,) = evidence.circuits.values()
    edges = "1 edge" if circuit.n_edges == 1 else f"{circuit.n_edges} edges"
    return Column(evidence.task, f"{edges}, {act(circuit.way)}")
