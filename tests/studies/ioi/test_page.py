"""The page by its numbers: what it says is what was measured."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memcirc.report.sections import Section
from memcirc.studies.ioi.findings import METRIC, findings, idle_heads, where_it_moves
from memcirc.studies.ioi.page import (
    _blocks,
    _direct,
    _factual,
    _five_ways,
    _heads,
    _next_tokens,
    _screens,
    _task,
)
from memcirc.studies.ioi.prompts import ROLES
from memcirc.studies.ioi.results import IoiResults
from tests.studies.ioi.made import POSITIONS, ioi_results, sweep


@pytest.fixture
def results() -> IoiResults:
    return ioi_results()


def rows(section: Section, number: int = 0) -> list[dict[str, Any]]:
    return [dict(row) for row in section.tables[number].rows]


def test_findings_say_the_numbers_and_whether_they_meet_their_thresholds(results: IoiResults) -> None:
    answers, moves, best, worst, idle, selftest, direct, screened = findings(results)
    assert "90% of the clean prompts and the other name to 50%" in answers.text
    assert "a guess between the two names: 50%" in answers.text
    assert (
        "Where the answer moves: who is giving stands at position 10, the giver, at the start of layer 0" in moves.text
    )
    assert (
        best.text
        == "Of what single heads write, this brings most of the answer back when denoised: head 0 of layer 0, +0.50."
    )
    assert (
        worst.text == "Of what single heads write, this works most against it when denoised: head 1 of layer 0, -0.25."
    )
    assert idle.text == "Of 4 heads 1 have no effect by themselves (below 0.02 either way): head 1 of layer 1."
    assert "of the heads' queries at each position: its correlation with the exact effects is 0.990" in screened.text
    of_thresholds = (answers, moves, selftest, direct, screened)
    assert [f.holds for f in of_thresholds] == [True, None, True, True, True]
    missed = replace(
        results, correct={"clean": 0.89, "corrupt": 1.0}, logit_diff={"clean": 7.52, "corrupt": 0.0},
        screens=[replace(results.screens[0], with_fix=0.97)],
    )  # fmt: skip
    assert [f.holds for f in findings(missed)] == [False, None, None, None, None, True, False, False]
    worse_fix = replace(results, screens=[replace(results.screens[0], without_fix=0.995)])
    assert findings(worse_fix)[-1].holds is False


def test_the_road_of_the_answer_is_told_layer_by_layer(results: IoiResults) -> None:
    assert where_it_moves(results.sweeps["block_every (denoise)"]).text == (
        "Where the answer moves: who is giving stands at position 10, the giver, at the start of layer 0 (effect "
        "1.00), then at the last word at the start of layer 1 (effect 0.75). Of all layers' attention that of layer 0 "
        "brings most of it to the last word, where the answer is said (0.62)."
    )
    alike = np.zeros((3, 4, POSITIONS))
    alike[0, :, 10] = (1.0, 0.9, 0.9, 0.8)
    text = where_it_moves(sweep(alike, "kind", "layer", "pos")).text
    assert "at position 10, the giver, at the start of layers 0 to 3 (effect 0.80 to 1.00). Of all" in text


def test_a_head_has_no_effect_where_neither_direction_moves_the_answer(results: IoiResults) -> None:
    assert idle_heads(results) == [{"head": "head 1 of layer 1", "denoising": 0.0, "noising": 0.0}]
    noised = sweep(np.array([[0.5, -0.25], [0.125, 0.3]]), "layer", "head")
    more = replace(results, sweeps={**results.sweeps, "head_out_all_pos (noise)": noised})
    assert idle_heads(more) == []
    none = "Of 4 heads 0 have no effect by themselves (below 0.02 either way)."
    assert none in [finding.text for finding in findings(more)]


def test_it_is_said_why_the_strongest_head_matters(results: IoiResults, tmp_path: Path) -> None:
    assert _five_ways(tmp_path, results).text[1] == (
        "The strongest, head 0 of layer 0 (output 0.50), matters most by what it moves; denoised: query 0.50, key "
        "0.50, value 0.50, pattern 0.50."
    )


def test_heads_are_ranked_by_sign_with_their_intervals(results: IoiResults, tmp_path: Path) -> None:
    section = _heads(tmp_path, results)
    signed, positive, negative = (rows(section, i) for i in range(3))
    assert [row["head"] for row in signed] == ["head 0 of layer 0", "head 1 of layer 0", "head 0 of layer 1"]
    assert [row["effect"] for row in positive] == [0.5, 0.125]
    assert negative == [{"head": "head 1 of layer 0", "effect": -0.25, "low": -0.25, "high": -0.25}]
    none = replace(results, sweeps={**results.sweeps, "head_out_all_pos (denoise)": sweep(np.eye(2), "layer", "head")})
    assert _heads(tmp_path, none).tables[2].note == "None: no head pushes this way."


def test_tables_by_hand(results: IoiResults, tmp_path: Path) -> None:
    assert rows(_task(results)) == [
        {"run": "clean", "answers as it should": 0.9, "mean logit difference": 7.5},
        {"run": "corrupt", "answers as it should": 0.5, "mean logit difference": -7.0},
    ]
    assert rows(_blocks(tmp_path, results)) == [{"metric": METRIC, "base run": 0.0, "source run": 4.0}]
    assert {row["part"]: row["logits"] for row in rows(_direct(tmp_path, results))} == {
        "embeddings": 1.0, "all heads": 4.0, "all MLPs": 2.0, "biases": 0.5, "sum": 7.5,
        "the model's logit difference": 7.5,
    }  # fmt: skip
    (row,) = rows(_screens(results))
    assert (row["with the QK fix"], row["verified top"], row["recall"], row["its correlation"]) == (0.99, 3, 1.0, 0.8)


def test_tokens_that_look_alike_keep_their_rows(results: IoiResults) -> None:
    assert rows(_next_tokens(results)) == [{"token": " a", "probability": 0.5}, {"token": " a", "probability": 0.25}]


def test_a_pair_of_ones_own_is_shown_in_logits(results: IoiResults, tmp_path: Path) -> None:
    assert _factual(tmp_path, results) == []
    (own,) = _factual(
        tmp_path, replace(results, factual=results.sweeps["block_every (denoise)"], factual_labels=list(ROLES))
    )
    assert "not normalised: 0.00 on the corrupt prompt, 4.00 on the clean one" in own.text[0]
    assert "10 giver" in own.drawings[0].svg
