"""Tables, findings, figures and the card of a verification, from rows with known numbers and from a finished run."""

import json
from pathlib import Path

import pytest

from memcirc.report.card import COLUMNS, verification_card
from memcirc.report.findings import Finding
from memcirc.report.verification_figures import panels, random_comparison, transfer_matrices
from memcirc.report.verification_findings import transfer_findings, verification_findings
from memcirc.report.verification_tables import CARD, card_line, tables_of
from memcirc.run.reading import Run


@pytest.fixture(scope="module")
def verification(finished_run: Path) -> dict[str, list[dict[str, object]]]:
    return json.loads((finished_run / "branch" / "verify" / "verification.json").read_text())  # type: ignore[no-any-return]


def test_every_number_in_the_file_carries_the_evaluation_card(verification: dict[str, list[dict[str, object]]]) -> None:
    made = {name: rows for name, rows in verification.items() if name not in ("statement", "refused") and rows}
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
    names = [table.name for table in tables_of(verification)]
    assert names[:3] == ["faithfulness", "random", "areas"]
    assert "generation" not in names
    for table in tables_of(verification):
        assert all(column in table.rows[0] for column in table.columns if column not in ("note", "copying_rise"))


def text(name: str, rise: float, ordinary: float = 0.2, **changes: object) -> dict[str, object]:
    return {"text": name, "mode": "tree", "rise": rise, "low": rise - 0.1, "random_rise": 0.1, "random_q95": 0.3,
            "copying_rise": None, "note": "n", "ordinary_rise": ordinary, "shared_with_ordinary": 0.1,
            **changes}  # fmt: skip


def told(name: str, rows: list[dict[str, object]]) -> Finding:
    """The one sentence of one check."""
    names = ("random", "stability", "specificity", "tests", "knockout", "generation", "time", "dose")
    base: dict[str, list[dict[str, object]]] = {each: [] for each in names}
    (finding,) = verification_findings("t", {**base, "faithfulness": [{"mode": "tree"}], name: rows})
    return finding


def test_findings_say_that_a_circuit_without_dissociation_is_not_specific() -> None:
    for other, holds in ((1.9, False), (0.2, True)):
        rows = [text("memorized", 2.0), text("not memorized", other), text("ordinary", 0.1, 1.0)]
        rows.append(text("repeated random tokens", 0.0))
        finding = told("specificity", rows)
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
def test_a_circuit_that_shows_half_of_a_dissociation_is_not_specific(own: dict[str, object], ordinary: float) -> None:
    rows = [own, text("not memorized", -0.01), text("ordinary", -0.01, ordinary), text("repeated random tokens", 0.0)]
    assert told("specificity", rows).holds is False


@pytest.mark.parametrize(
    ("outcomes", "holds"), [((None,), None), ((True, None), True), ((True, False, None), False), ((False,), False)]
)
def test_tests_that_say_nothing_count_neither_for_nor_against(
    outcomes: tuple[bool | None, ...], holds: bool | None
) -> None:
    rows = [
        {"mode": "tree", "test": f"test {i}", "p_value": 0.2, "n": 9, "supports": outcome}
        for i, outcome in enumerate(outcomes)
    ]
    finding = told("tests", rows)
    assert finding.holds is holds
    assert ("not rejected, which proves nothing: test " in finding.text) == (None in outcomes)


def test_random_circuits_that_share_the_found_edges_prove_nothing() -> None:
    def row(kind: str, overlap: float, p: float | None) -> dict[str, object]:
        return {"mode": "tree", "direction": "noising", "kind": kind, "overlap": overlap, "p_value": p, "mean": 0.2,
                "q95": 0.3, "found": 0.8}  # fmt: skip

    empty = {name: [] for name in ("stability", "specificity", "tests", "knockout", "generation", "time", "dose")}
    base = {**empty, "faithfulness": [{"mode": "tree"}]}
    (shared,) = verification_findings("t", {**base, "random": [row("matched", 1.0, 1.0)]})
    assert shared.holds is None
    assert "share 100% of its edges" in shared.text
    (apart,) = verification_findings("t", {**base, "random": [row("connected", 0.1, 0.01), row("matched", 1.0, 1.0)]})
    assert apart.holds
    (few,) = verification_findings("t", {**base, "random": [row("connected", 0.1, None)]})
    assert few.holds is False


def test_transfer_is_told_beside_the_circuits_own_number() -> None:
    cells = [
        {"circuit": a, "data": b, "mode": "tree", "direction": "noising", "n_pairs": 12,
         "faithfulness": 0.9 if a == b else 0.4}
        for a in ("x", "y") for b in ("x", "y")
    ]  # fmt: skip
    texts = [finding.text for finding in transfer_findings(cells)]
    tail = "(12 pairs of documents it was not found on; 0.90 on its own)."
    assert texts == [
        f"Transfer, tree: the circuit of x keeps 0.40 on y {tail}",
        f"Transfer, tree: the circuit of y keeps 0.40 on x {tail}",
    ]


def test_the_terminal_card_has_a_line_for_each_way_and_the_numbers_of_the_file(
    finished_run: Path, verification: dict[str, list[dict[str, object]]]
) -> None:
    card = verification_card({"branch": Run(finished_run).files().tasks["branch"]}).splitlines()
    assert card[0].split() == list(COLUMNS)
    assert len(card) == 2 + 4 + 1
    assert f"{verification['faithfulness'][0]['faithfulness']:.3f}" in card[2]
    assert card[-1].startswith("branch: model: ")


def test_figures_with_missing_numbers_are_drawn() -> None:
    cell = {"mode": "tree", "direction": "noising", "circuit": "a", "data": "b", "faithfulness": None, "low": None}
    assert transfer_matrices([cell])
    row = {"mode": "tree", "direction": "noising", "found": 0.5, "q05": 0, "q95": 0.1, "median": 0, "highest": 0.2,
           "kind": "uniform", "overlap": 0.1, "n_edges": 3}  # fmt: skip
    assert random_comparison([row])
    figure, axes = panels(3)
    assert len(axes) == 3
    assert len(figure.axes) == 4
