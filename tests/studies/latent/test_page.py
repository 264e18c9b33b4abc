"""The page by its numbers, from results made by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memcirc.studies.latent.page import (
    _by_layer,
    _components,
    _findings,
    _matrix,
    _model,
    _switching,
    write_latent_page,
)
from memcirc.studies.latent.results import LatentResults
from tests.studies.latent.made import cell, latent_results


@pytest.fixture
def results() -> LatentResults:
    return latent_results()


def test_findings_say_how_far_what_is_known_was_met(results: LatentResults) -> None:
    accuracy, propagate, freeze, known, self_patch = _findings(results)
    assert accuracy.text == (
        "With all 2 latent steps 100.0% of the clean questions are answered right; with fewer at most 20.0% "
        "(thresholds: at least 99%, at most 20%; a guess among 10 digits is right in 10%)."
    )
    assert known.text == (
        "The share of answers that switch, the vector fed in, later steps recomputed, is within 0.020 of what the "
        "task forces (threshold: 0.05)."
    )
    assert [f.holds for f in (accuracy, known, self_patch, propagate, freeze)] == [True, True, True, None, None]
    assert "is the vector fed in at step 0: 90% of 10 answers switch" in propagate.text
    assert "is head output of layer 1 at step 0: 70% of 10 answers switch" in freeze.text


def test_a_threshold_is_missed_where_it_should_be(results: LatentResults) -> None:
    off = {"propagate, latent_in": np.array([[1.0, 1.0], [0.06, 1.0]])}
    assert _findings(replace(results, by_group=off))[3].holds is False
    assert _findings(replace(results, accuracy={1: 0.1, 2: 0.98}))[0].holds is False
    assert _findings(replace(results, accuracy={1: 0.3, 2: 1.0}))[0].holds is False
    unknown = _findings(replace(results, expected=None))
    assert unknown[0].holds is None
    assert len(unknown) == 4


def test_matrices_hold_a_component_of_a_policy_and_leave_the_rest_empty(results: LatentResults) -> None:
    np.testing.assert_array_equal(_matrix(results, "propagate", "resid_post"), [[np.nan, 0.3], [np.nan, np.nan]])
    np.testing.assert_array_equal(_matrix(results, "freeze_latents", "z"), [[np.nan, np.nan], [0.7, np.nan]])


def test_tables_rank_the_strongest_and_repeat_those_in_between(results: LatentResults, tmp_path: Path) -> None:
    rows = _switching(results, 0.05).tables[0].rows
    assert [row["recovery"] for row in rows] == [0.9, 0.7, 0.5, 0.3, 0.1, 0.0, 0.9, 0.7, 0.5, 0.3, 0.1]
    assert rows[0]["pairs needed"] == 109
    fed = _by_layer(tmp_path, results).tables[0].rows
    assert [(row["later steps"], row["recovery"]) for row in fed] == [("recomputed", 0.9), ("held", 0.1)]


def test_groups_are_drawn_where_there_are_several(results: LatentResults, tmp_path: Path) -> None:
    for given, drawn in ((results, True), (replace(results, group_names=["0"]), False)):
        page = write_latent_page(tmp_path, given, {"seed": 1}, 0.05).with_suffix(".md").read_text(encoding="utf-8")
        assert ("When do the thoughts begin to differ?" in page) == drawn
        assert "| 1 + 2 | 3 | 1 + 3 | 4 | 3 / 4 |" in page


def test_signs_and_chance_are_told_of_the_task_that_is_known(results: LatentResults) -> None:
    known, unknown = _model(results), _model(replace(results, expected=None))
    assert "“3-” takes what there is so far away from 3" in known.text[0]
    assert known.tables[1].note == "A guess among 10 digits is right in 10%."
    assert "adds 3" not in unknown.text[0]
    assert unknown.tables[1].note == ""


def test_it_is_said_why_a_value_suffices_where_one_does(results: LatentResults, tmp_path: Path) -> None:
    assert _components(tmp_path, results).text == ()
    read = [cell("freeze_latents", "v", 0, 1, 8), cell("freeze_latents", "attn_out", 1, 1, 2)]
    (text,) = _components(tmp_path, replace(results, cells=read)).text
    assert text.startswith("Why do the values of layer 0 at step 1 suffice where later steps are held (80% of")
    assert text.endswith("in later layers moves at most 20%.")
