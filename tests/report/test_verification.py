"""Tables, findings, figures and the card of a verification, from rows with known numbers and from a finished run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from memcirc.report.card import COLUMNS, verification_card
from memcirc.report.checks.random import random_comparison
from memcirc.report.figures import panels
from memcirc.report.sections import Finding
from memcirc.report.transfer import transfer_findings, transfer_matrices
from memcirc.report.view import CARD, card_line, findings_of, tables_of, views
from memcirc.run.reading import Run
from memcirc.verification.faithfulness import Measurement
from memcirc.verification.hypotheses import HypothesisTest
from memcirc.verification.random_circuits import RandomComparison
from memcirc.verification.record import AnyRecord
from memcirc.verification.result import Verification, record_types
from memcirc.verification.specificity import Dissociation
from memcirc.verification.transfer import Cell
from tests.report.records import CIRCUIT, evidence, record


@pytest.fixture(scope="module")
def verification(finished_run: Path) -> dict[str, list[dict[str, object]]]:
    return json.loads((finished_run / "branch" / "verify" / "verification.json").read_text())  # type: ignore[no-any-return]


def test_every_number_in_the_file_carries_the_evaluation_card(verification: dict[str, list[dict[str, object]]]) -> None:
    made = {name: rows for name, rows in verification.items() if isinstance(rows, list) and rows and name != "refused"}
    assert made.keys() >= {"faithfulness", "distribution", "random", "curve", "dose", "stability", "specificity"}
    for rows in made.values():
        assert all(set(CARD) <= row.keys() for row in rows)


def test_every_cell_of_a_transfer_carries_the_evaluation_card(finished_run: Path) -> None:
    cells = json.loads((finished_run / "transfer" / "transfer.json").read_text())["cells"]
    assert cells
    assert all(set(CARD) <= cell.keys() for cell in cells)


def test_the_diagonal_of_the_runs_transfer_is_the_circuits_own_number(finished_run: Path) -> None:
    cells = json.loads((finished_run / "transfer" / "transfer.json").read_text())["cells"]
    for task in ("branch", "memorization"):
        own = json.loads((finished_run / task / "verify" / "verification.json").read_text())["faithfulness"]
        for row in own:
            if row["ablation"] == "resample":
                (cell,) = [c for c in cells if (c["circuit"], c["data"], c["mode"], c["direction"]) ==
                           (task, task, row["mode"], row["direction"])]  # fmt: skip
                assert (cell["n_seen"], cell["faithfulness"]) == (0, pytest.approx(row["faithfulness"]))


def test_every_table_on_the_page_states_its_card(finished_run: Path) -> None:
    page = (finished_run / "report" / "report.html").read_text()
    shown = page.count('<p class="card">')
    assert shown >= 2 * 6 + 1
    assert page.count("averaging: ratio of means over pairs") >= shown
    for word in ("split: test", "dtype: float32", "bos: False", "selection: top by abs", "seed: 0"):
        assert page.count(word) >= shown - 1


def test_the_page_shows_what_a_paper_prints(finished_run: Path) -> None:
    names = {path.name for path in (finished_run / "report" / "figures").iterdir()}
    for figure in ("curves", "random", "stability", "dissociation", "dose"):
        assert f"branch_{figure}.svg" in names
    assert "transfer_tasks.svg" in names


def test_a_card_says_what_rows_share_and_what_differs() -> None:
    rows = [
        {"model": "m", "revision": None, "base": "clean", "seed": 0, "ablation": "zero"},
        {"model": "m", "revision": None, "base": "corrupt", "seed": 0, "ablation": "resample"},
    ]
    assert card_line(rows) == (
        "model: m; revision: not stated; ablation: by row; base: clean where noising, corrupt where denoising; seed: 0"
    )


def test_tables_of_checks_that_were_not_made_are_left_out(verification: dict[str, list[dict[str, object]]]) -> None:
    tables = tables_of(Verification.from_json(verification))
    titles = [table.title for table in tables]
    assert titles[0] == "The circuit on test pairs, in every way to run it"
    assert "Areas of the whole curves, sizes and values" in titles
    assert "Recitation under the circuit" not in titles
    for table in tables:
        assert all(column in table.rows[0] for column in table.columns)


def text(name: str, rise: float, ordinary: float = 0.2, **changes: float) -> Dissociation:
    numbers = {"low": rise - 0.1, "random_rise": 0.1, "random_q95": 0.3, "ordinary_rise": ordinary, **changes}
    return record(Dissociation, text=name, rise=rise, note="n", shared_with_ordinary=0.1, **numbers)


def told(*records: AnyRecord) -> Finding:
    """The one sentence of one check."""
    (finding,) = findings_of(evidence(*records))
    return finding


def test_findings_say_that_a_circuit_without_dissociation_is_not_specific() -> None:
    for other, holds in ((1.9, False), (0.2, True)):
        rows = [text("memorized", 2.0), text("not memorized", other), text("ordinary", 0.1, 1.0)]
        finding = told(*rows, text("repeated random tokens", 0.0))
        assert finding.holds is holds
        assert "adds 2.00 nats a token to memorized passages" in finding.text


@pytest.mark.parametrize(
    ("own", "ordinary"),
    [
        (text("memorized", 0.0), 1.0),
        (text("memorized", 2.0, low=-0.1), 1.0),
        (text("memorized", 2.0, random_q95=2.5), 1.0),
        (text("memorized", 2.0, ordinary=0.9), 1.0),
        (text("memorized", 2.0, ordinary=-0.1), 0.0),
    ],
    ids=["does nothing", "may do nothing", "as chance", "not the reverse", "no reverse"],
)
def test_a_circuit_that_shows_half_of_a_dissociation_is_not_specific(own: Dissociation, ordinary: float) -> None:
    rows = [own, text("not memorized", -0.01), text("ordinary", -0.01, ordinary), text("repeated random tokens", 0.0)]
    assert told(*rows).holds is False


@pytest.mark.parametrize(
    ("outcomes", "holds"), [((None,), None), ((True, None), True), ((True, False, None), False), ((False,), False)]
)
def test_tests_that_say_nothing_count_neither_for_nor_against(
    outcomes: tuple[bool | None, ...], holds: bool | None
) -> None:
    rows = [record(HypothesisTest, test=f"test {i}", p_value=0.2, n=9, supports=o) for i, o in enumerate(outcomes)]
    finding = told(*rows)
    assert finding.holds is holds
    assert ("not rejected, which proves nothing: test " in finding.text) == (None in outcomes)


def test_random_circuits_that_share_the_found_edges_prove_nothing() -> None:
    def row(kind: str, overlap: float, p: float | None) -> RandomComparison:
        return record(RandomComparison, kind=kind, overlap=overlap, p_value=p, mean=0.2, q95=0.3, found=0.8)

    shared = told(row("matched", 1.0, 1.0))
    assert shared.holds is None
    assert "share 100% of its edges" in shared.text
    assert told(row("connected", 0.1, 0.01), row("matched", 1.0, 1.0)).holds
    assert told(row("connected", 0.1, None)).holds is False


def cell(circuit: str, data: str, **measured: object) -> Cell:
    return Cell(circuit, data, "test", "", 0, record(Measurement, **measured))


def test_transfer_is_told_beside_the_circuits_own_number() -> None:
    cells = [cell(a, b, n_pairs=12, faithfulness=0.9 if a == b else 0.4) for a in ("x", "y") for b in ("x", "y")]
    texts = [finding.text for finding in transfer_findings(cells)]
    tail = "(12 pairs of documents it was not found on; 0.90 on its own)."
    assert texts == [
        f"Transfer, tree: the circuit of x keeps 0.40 on y {tail}",
        f"Transfer, tree: the circuit of y keeps 0.40 on x {tail}",
    ]


def test_a_cell_of_a_transfer_is_read_back_from_its_file() -> None:
    whole = cell("a", "b", faithfulness=0.5, reverse=True)
    assert Cell.from_json({"model": "m", **whole.to_json()}) == whole


def test_every_check_has_what_a_page_shows_of_it() -> None:
    shown = {table.record for view in views() for table in view.tables}
    assert shown == set(record_types().values())


def test_the_terminal_card_has_a_line_for_each_way_and_the_numbers_of_the_file(
    finished_run: Path, verification: dict[str, list[dict[str, object]]]
) -> None:
    card = verification_card({"branch": Run(finished_run).files().tasks["branch"]}).splitlines()
    assert card[0].split() == list(COLUMNS)
    assert len(card) == 2 + 4 + 1
    assert f"{verification['faithfulness'][0]['faithfulness']:.3f}" in card[2]
    assert card[-1].startswith("branch: model: ")


def test_figures_with_missing_numbers_are_drawn() -> None:
    assert transfer_matrices([cell("a", "b")])
    assert random_comparison([record(RandomComparison, kind="uniform", found=0.5, q95=0.1, highest=0.2, n_edges=3)])
    figure, axes = panels(3)
    assert len(axes) == 3
    assert len(figure.axes) == 4


def test_the_page_says_what_it_costs_to_hold_under_several_ablations() -> None:
    circuit = replace(CIRCUIT, also_under=("zero",), prefix=9, prefix_alone=5)
    (found, *_) = findings_of(evidence(record(Measurement, n_pairs=40), circuits={"tree": circuit}))
    assert "under each of resample, zero: the smallest prefix of the ranking that does has 9 edges" in found.text
    assert "where 5 reach it under resample alone" in found.text
