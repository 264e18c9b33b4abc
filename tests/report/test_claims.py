"""Every row of the page's first table, from made-up records: met, not met, and not to be said."""

from dataclasses import replace
from typing import Any

import pytest

from memcirc.interventions import RunSettings
from memcirc.report.claims import NOT_MEASURED, ORDER, Answer, ClaimTable, claim_table
from memcirc.report.evidence import Evidence
from memcirc.report.transfer import CLAIM
from memcirc.report.view import claims
from memcirc.verification.faithfulness import Measurement
from memcirc.verification.generation import Generation
from memcirc.verification.knockout import KnockOut
from memcirc.verification.random_circuits import RandomComparison
from memcirc.verification.record import AnyRecord
from memcirc.verification.refinement import RefinedBesidePrefix
from memcirc.verification.removal import MEMORIZED, Removal
from memcirc.verification.specificity import Dissociation
from memcirc.verification.stability import Stability
from memcirc.verification.transfer import Cell
from tests.report.records import CIRCUIT, evidence, record

TAKEN_OUT = replace(CIRCUIT, way=RunSettings("edge", "twin", reverse=True))


def table(*records: AnyRecord, cells: tuple[Cell, ...] = (), **circuits: Any) -> ClaimTable:
    found = replace(evidence(*records, circuits=circuits or {"tree": CIRCUIT}), elsewhere=cells)
    return claim_table([*claims(), CLAIM], [found])


def answer(name: str, *records: AnyRecord, **given: Any) -> Answer:
    """The one cell of a row."""
    (cell,) = next(row.answers for row in table(*records, **given).rows if row.name == name)
    return cell


def measured(faithfulness: float | None, n_pairs: int = 40, **changes: Any) -> Measurement:
    return record(
        Measurement, faithfulness=faithfulness, n_pairs=n_pairs, **{"value": 3.0, "everything": 3.3, **changes}
    )


def drawn(p_value: float | None, highest: float = 0.4, kind: str = "connected", **given: Any) -> RandomComparison:
    return record(RandomComparison, kind=kind, p_value=p_value, highest=highest, found=0.9, n_circuits=100, **given)


def removed(text: str, added: float) -> Removal:
    return record(Removal, text=text, added=float(added), low=added - 0.1, random_q95=0.2, guessing=9.0)


def harmed(text: str, rise: float, ordinary: float) -> Dissociation:
    return record(Dissociation, text=text, rise=float(rise), low=rise - 0.1, ordinary_rise=float(ordinary))


def recited(run: str, extracted: float) -> Generation:
    return record(Generation, run=run, extracted=float(extracted))


def cell(data: str, faithfulness: float, n_pairs: int = 40) -> Cell:
    return Cell("t", data, "test", "", 0, measured(faithfulness, n_pairs))


BY_TEXT = "specific, by ordinary text"
ANSWERS: list[tuple[str, list[AnyRecord], bool | None, str]] = [
    ("faithful", [measured(0.8, low=0.7, high=0.9)], True, "keeps 0.80"),
    ("faithful", [measured(0.6)], False, "keeps 0.60"),
    ("faithful", [measured(0.8, value=-1.0)], False, "keeps 0.80"),
    ("faithful", [measured(0.8, n_pairs=4)], None, "keeps 0.80; too few test pairs (4)"),
    ("faithful", [measured(0.6, n_pairs=1)], None, "keeps 0.60; too few test pairs (1)"),
    ("beyond chance", [drawn(0.01), measured(0.8, n_pairs=4)], None, "best random 0.40; too few test pairs (4)"),
    ("stable", [record(Stability, jaccard_found=0.6), measured(0.8, n_pairs=4)], True, "overlap 0.60"),
    ("recites by itself", [measured(0.8, n_pairs=4)], None, "not measured"),
    ("faithful", [measured(None)], False, "not defined"),
    ("faithful", [measured(0.8, reverse=True)], None, "not measured"),
    ("beyond chance", [drawn(0.01), drawn(0.02, 0.5, "shuffled")], True, "best random 0.50"),
    ("beyond chance", [drawn(0.01), drawn(0.2, 0.95, "shuffled")], False, "best random 0.95"),
    ("beyond chance", [drawn(1.0, 0.9, overlap=0.9)], None, "no choice left"),
    ("minimal", [record(RefinedBesidePrefix, certified=True, n_edges=3, prefix=5)], True, "3 left of 5"),
    ("minimal", [record(RefinedBesidePrefix, certified=True, gap=0.1)], False, "0 left of 0"),
    ("minimal", [record(RefinedBesidePrefix)], False, "0 left of 0"),
    ("minimal", [], None, "edges not tried"),
    ("stable", [record(Stability, jaccard_found=0.6)], True, "overlap 0.60"),
    ("stable", [record(Stability, jaccard_found=0.4)], False, "overlap 0.40"),
    (BY_TEXT, [harmed("memorized", 2, 0.1), harmed("not memorized", 0.5, 1), harmed("ordinary", 0.3, 1)], True,
     "2.00 nats, other text 0.50"),
    (BY_TEXT, [harmed("memorized", 2, 0.1), harmed("not memorized", 1.5, 1), harmed("ordinary", 0.3, 1)], False,
     "2.00 nats, other text 1.50"),
    ("specific, by the twin", [removed(MEMORIZED, 2), removed("near", 0.1)], True, "2.00 nats, other text 0.10"),
    ("specific, by the twin", [removed(MEMORIZED, 2), removed("near", 1)], False, "2.00 nats, other text 1.00"),
    ("specific, by the twin", [removed(MEMORIZED, 0.25), removed("near", 0)], False, "0.25 nats, random 0.20 (95 %)"),
    ("specific, by the twin", [removed(MEMORIZED, 2)], None, "no other text"),
    ("necessary", [record(KnockOut, without_circuit=0.1)], True, "0.10 left"),
    ("necessary", [record(KnockOut, without_circuit=-0.4)], False, "-0.40 left"),
    ("recites by itself", [recited("model", 0.8), recited("only the circuit", 0.4)], True, "40% of the model's 80%"),
    ("recites by itself", [recited("model", 0.8), recited("only the circuit", 0.3)], False, "30% of the model's 80%"),
    ("recites by itself", [recited("model", 0), recited("only the circuit", 0)], None, "0% of the model's 0%"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "records", "holds", "number"), ANSWERS)
def test_a_claim_is_met_not_met_or_cannot_be_said(
    name: str, records: list[AnyRecord], holds: bool | None, number: str
) -> None:
    found = answer(name, *records)
    assert (found.holds, found.number) == (holds, number)


@pytest.mark.parametrize(
    ("elsewhere", "n_pairs", "holds"), [(0.5, 40, True), (0.3, 40, False), (0.5, 4, None), (27.0, 40, False)]
)
def test_a_circuit_transfers_where_it_does_half_of_what_it_does_at_home(
    elsewhere: float, n_pairs: int, holds: bool | None
) -> None:
    cells = (cell("t", 0.9), cell("t: github", 0.1), cell("u", elsewhere, n_pairs))
    found = answer("transfers", measured(0.9), cells=cells)
    assert (found.holds, found.number) == (holds, f"{elsewhere:.2f} on u")
    assert answer("transfers", measured(0.9), cells=cells[:2]) == NOT_MEASURED


def test_every_row_stands_there_in_order_though_nothing_was_measured() -> None:
    rows = table().rows
    assert tuple(row.name for row in rows) == ORDER
    assert [row.name for row in rows if row.answers != (NOT_MEASURED,)] == ["minimal"]
    assert all(row.asks.endswith(".") for row in rows)


def test_what_speaks_against_a_specific_circuit_beside_the_two_numbers_is_said() -> None:
    rows = [harmed("memorized", 6, 2.0), harmed("not memorized", 1, 1), harmed("ordinary", 0.3, 1.0)]
    found = answer(BY_TEXT, *(replace(row, random_q95=7.0, low=None) for row in rows))
    assert found.holds is False
    assert found.text.partition("1.00; ")[2] == (
        "too few documents to bound the first; 95 % of random circuits cost memorized passages at most 7.00; the "
        "circuit for ordinary text costs memorized passages 2.00 and ordinary text 1.00"
    )


def test_random_circuits_that_are_nearly_the_circuit_are_said_to_be_left_out() -> None:
    rows = [drawn(0.01), drawn(0.9, 0.99, "matched", overlap=0.9)]
    assert answer("beyond chance", *rows).text == (
        "the best of 100 random circuits of its size, of kinds that on average share at most half of its edges, 0.40"
    )
    assert answer("beyond chance", rows[0]).text == "the best of 100 random circuits of its size 0.40"


def test_of_several_answers_to_one_claim_the_worst_counts() -> None:
    way: dict[str, Any] = {"mode": "edge", "ablation": "twin", "reverse": True}
    given: list[AnyRecord] = [measured(0.9, **way)]
    assert answer("necessary", *given, edge=TAKEN_OUT).number == "takes away 0.90"
    given.append(record(KnockOut, without_circuit=0.4, **way))
    assert answer("necessary", *given, edge=TAKEN_OUT).number == "0.40 left"


def test_the_worst_finding_is_of_the_gravest_claim() -> None:
    found = table(measured(0.6), record(Stability, jaccard_found=0.2))
    worst = found.worst()
    assert worst is not None
    assert (worst.name, worst.answers[worst.unmet[0]].number) == ("faithful", "keeps 0.60")
    assert found.counts() == "Of 11 claims 0 met, 2 not met; of 9 the run cannot say."
    assert table(measured(0.9)).worst() is None


def test_the_plain_rows_say_the_same() -> None:
    found = table(measured(0.9))
    assert found.headings == ("claim", "t (5 edges, alone at work)")
    assert found.lines[0] == {"claim": "faithful", found.headings[1]: "✓ met: keeps 0.90"}


def test_a_circuit_of_which_there_are_no_records_has_its_column() -> None:
    found: Evidence = evidence(circuits={"tree": CIRCUIT, "edge": TAKEN_OUT})
    assert [column.way for column in claim_table(claims(), [found]).columns] == [
        "5 edges, alone at work", "5 edges, taken out"
    ]  # fmt: skip
