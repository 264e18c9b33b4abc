"""The page holds what the artifacts hold, and needs nothing else."""

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memcirc.interventions import RunSettings
from memcirc.report.checks.dose import dose_figure
from memcirc.report.contrasts import contrast
from memcirc.report.corpus import recall_findings
from memcirc.report.sections import Finding, Section, write_page
from memcirc.report.tables import markdown_table, text_table
from memcirc.report.view import findings_of, tables_of
from memcirc.statistics import wilson
from memcirc.verification.dose import Dose
from memcirc.verification.faithfulness import Measurement
from memcirc.verification.groups import Group
from memcirc.verification.knockout import KnockOut
from memcirc.verification.random_circuits import RandomComparison
from memcirc.verification.result import Verification
from memcirc.verification.stability import Stability
from memcirc.verification.time_resolved import Moment
from tests.report.records import CIRCUIT, evidence, record


def test_the_page_is_self_contained(finished_run: Path) -> None:
    page = (finished_run / "report" / "report.html").read_text()
    named = re.findall(r'(src|href)="(?!#)([^"]*)"', page)
    assert all(
        kind == "href" and re.fullmatch(r"(figures|tables)/\w+\.(svg|pdf|csv|tex)", name) for kind, name in named
    )
    assert all((finished_run / "report" / name).is_file() for _, name in named)
    assert page.count("<script>") == 4  # for circuits, tables, figures and pairs
    told = page.count('<script type="application/json">')
    assert told == page.count('class="read"') + 1  # the points of each figure, and the one task's pairs that are many
    assert len(page) < 6_000_000


def test_the_page_states_every_measured_faithfulness(finished_run: Path) -> None:
    page = (finished_run / "report" / "report.html").read_text()
    for task in ("branch", "memorization"):
        for row in json.loads((finished_run / task / "verify" / "verification.json").read_text())["faithfulness"]:
            if row["faithfulness"] is not None:
                assert f">{row['faithfulness']:.3f}<" in page


def test_figures_are_drawn_the_same_every_time(finished_run: Path) -> None:
    names = {path.name for path in (finished_run / "report" / "figures").iterdir()}
    assert names >= {
        "dose_response.svg",
        "branch_curves.svg",
        "branch_circuit_tree.svg",
        "memorization_circuit_edge.svg",
    }


def test_markdown_and_page_show_the_same_findings(finished_run: Path) -> None:
    markdown = (finished_run / "report" / "report.md").read_text()
    page = html.unescape((finished_run / "report" / "report.html").read_text())
    listed = re.findall(r'<li class="(met|unmet|)">(.*)</li>', page)
    words = {"met": "met: ", "unmet": "not met: ", "": ""}
    assert [f"- {words[verdict]}{text}" for verdict, text in listed if f"- {words[verdict]}{text}" in markdown] == [
        f"- {words[verdict]}{text}" for verdict, text in listed
    ]
    assert sum(verdict != "" for verdict, _ in listed) >= 1
    assert "hoped" not in page
    for figure in re.findall(r"\]\((figures/[^)]+)\)", markdown):
        assert (finished_run / "report" / figure).is_file()


def test_a_pair_of_one_prompt_is_that_prompt_once_and_its_whole_completion(tmp_path: Path) -> None:
    texts = {"answers": ["arrow"], "wrong_answers": ["ow"]}
    learned = contrast({"clean": "Felix B", "corrupt": "Felix B", "answer_sequence": "arrow, of Leeds", **texts})
    branch = contrast({"clean": "Felix B", "corrupt": "Felix C", **texts})
    for pair, wanted in ((learned, ["Felix B → arrow, of Leeds"]), (branch, ["Felix B → arrow", "Felix C → ow"])):
        page = html.unescape(write_page(tmp_path, "t", (), (), [Section("s", pairs=(pair,))]).read_text())
        assert [re.sub("<[^>]*>", "", line) for line in re.findall("<pre>.*</pre>", page)] == wanted
        assert pair.about == ("wrong answer 'ow'" if pair is learned else "")
        assert ("the corrupt prompt" in page) == (pair is branch)


def test_recall_that_falls_with_copies_is_said_not_to_hold() -> None:
    (rising,) = recall_findings([1, 1, 20, 20], [False, False, True, True])
    (falling,) = recall_findings([1, 1, 20, 20], [True, True, False, False])
    assert rising.holds
    assert not falling.holds
    assert "0% at 1, 100% at 20 (threshold: it falls by at most 0.02 as copies rise)" in rising.text
    for fallen, holds in ((1, True), (3, False)):
        (line,) = recall_findings([1] * 100 + [2] * 100, [True] * (200 - fallen) + [False] * fallen)
        assert line.holds is holds


def row(**changes: object) -> Measurement:
    """A measurement of a good circuit, with changes."""
    numbers = {"faithfulness": 0.9, "n_pairs": 40, "value": 3.0, "everything": 3.3, "correct": 0.8}
    return record(Measurement, **{**numbers, "correct_everything": 0.9, **changes})


def told(*rows: Measurement) -> list[Finding]:
    """What is said of the search on validation, then of the measurements."""
    return findings_of(evidence(*rows, circuits={"tree": CIRCUIT}))


def test_a_disappointing_circuit_is_not_hidden() -> None:
    reached, tested = told(row(faithfulness=0.4))
    assert reached.holds
    assert not tested.holds
    assert "0.40 (threshold: at least 0.7)" in tested.text


def test_a_faithful_circuit_on_the_wrong_side_of_zero_does_not_meet_its_threshold() -> None:
    _, tested = told(row(value=-0.1))
    assert tested.holds is False
    assert "other side of 0" in tested.text


@pytest.mark.parametrize(("n_pairs", "few"), [(11, True), (12, False)])
def test_every_line_about_few_pairs_says_so_and_meets_nothing(n_pairs: int, few: bool) -> None:
    lines = told(row(n_pairs=n_pairs))
    assert [line.text.endswith(f" Too few test pairs ({n_pairs}) to tell.") for line in lines] == [few, few]
    assert [line.holds is None for line in lines] == [few, few]


def test_a_faithfulness_far_above_one_does_not_meet_its_threshold() -> None:
    *_, others = told(row(), row(ablation="zero"), row(ablation="mean-clean", faithfulness=1.82))
    assert others.holds is False


def test_values_far_outside_their_ends_are_explained_and_meet_no_threshold() -> None:
    close: dict[str, Any] = {"nothing": -3.10, "value": -2.0, "everything": -3.06, "faithfulness": 27.75}
    apart = "its ends lie 0.040 nats apart (-3.100 with no edge at work, -3.060 with all)"
    _, tested, compared, beside, stable, other = (
        findings_of(
            evidence(
                row(**close),
                record(RandomComparison, kind="uniform", q95=-3.0),
                record(RandomComparison, kind="connected", found=27.75, p_value=0.01),
                record(Stability, jaccard_found=0.9, faithfulness=27.75, low=3.0, high=90.0),
                circuits={"tree": CIRCUIT},
            )
        )
        + told(row(), row(ablation="zero", **close))[-1:]
    )
    assert all(apart in finding.text for finding in (tested, compared, beside, stable, other))
    assert [f.holds for f in (tested, compared, beside, stable, other)] == [False, False, False, True, False]
    assert told(row(faithfulness=-0.4))[1].text.count("apart") == 0
    found, *_ = findings_of(evidence(record(Group), circuits={"tree": replace(CIRCUIT, faithfulness=27.75)}))
    assert found.holds is False
    (table,) = tables_of(Verification({}, (record(Group, **{name: close[name] for name in close if name != "value"}),)))
    assert table.rows[0]["note"] == f"far outside 0 to 1: {apart}"
    assert "note" in table.columns


def test_what_the_circuit_moves_by_copies_has_a_unit() -> None:
    rows = [record(Dose, copies=n, n_pairs=9, carried=-3.5, trend=0.1, trend_p=0.5) for n in (2, 10)]
    (found,) = findings_of(evidence(*rows))
    assert "moves the logit_diff by -3.500 nats at 2 copies (n = 9), -3.500 nats at 10 copies" in found.text
    assert dose_figure(rows).axes[0].get_ylabel() == "mean logit_diff, nats"


NECESSARY = replace(CIRCUIT, way=RunSettings("edge", "twin", reverse=True))


def test_of_a_necessary_circuit_it_is_said_what_it_takes_away() -> None:
    way: dict[str, Any] = {"mode": "edge", "ablation": "twin", "reverse": True}
    numbers: dict[str, Any] = {"q95": 0.1, "found": 0.9, "p_value": 0.01, **way}
    found = findings_of(
        evidence(
            record(Measurement, faithfulness=0.9, n_pairs=40, value=-3.0, everything=-3.3, **way),
            *(record(RandomComparison, kind=kind, **numbers) for kind in ("uniform", "connected")),
            *(record(Moment, delay=n, n_pairs=40, overlap=(1.0,), onset_faithfulness=0.6, **way) for n in (0, 1)),
            record(KnockOut, without_circuit=0.1, **way),
            circuits={"edge": NECESSARY},
        )
    )
    assert sum(" takes away 0." in f.text or " takes away +0: 0." in f.text for f in found) == len(found) == 6
    assert not [f.text for f in found if " keeps " in f.text]


def test_edges_that_are_put_back_bring_back() -> None:
    _, tested = findings_of(
        evidence(
            record(Measurement, faithfulness=0.9, n_pairs=40, value=3.0, everything=3.3, mode="edge", ablation="twin"),
            circuits={"edge": NECESSARY},
        )
    )
    assert "it brings back 0.90" in tested.text


def test_the_worst_ablation_is_named() -> None:
    rows = [row(), row(ablation="zero", faithfulness=-0.44), row(ablation="mean-clean", faithfulness=0.8)]
    *_, others = told(*rows)
    assert others.holds is False
    assert "from -0.44 (zero, noising)" in others.text


@pytest.mark.parametrize(("successes", "low", "high"), [(0, 0.0, 0.2775), (5, 0.2366, 0.7634), (10, 0.7225, 1.0)])
def test_wilson_intervals_are_the_published_ones(successes: int, low: float, high: float) -> None:
    assert wilson(successes, 10) == pytest.approx((low, high), abs=1e-4)


def test_tables_align_numbers_to_the_right_and_show_missing_values() -> None:
    rows = [{"name": "a|b", "value": 1.23456}, {"name": "c", "value": None}]
    assert text_table(rows, ["name", "value"]).splitlines() == [
        "name  value",
        "----  -----",
        "a|b   1.235",
        "c         –",
    ]
    assert markdown_table(rows, ["name", "value"]).splitlines()[2] == "| a\\|b | 1.235 |"
