"""The sentences of the IOI study say what was measured, and whether it meets its thresholds."""

from dataclasses import replace

import numpy as np

from memcirc.studies.ioi.findings import findings, idle_heads, where_it_moves
from memcirc.studies.ioi.results import IoiResults
from tests.studies.ioi.made import POSITIONS, sweep


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
