"""The page by its numbers, from results made by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memcirc.studies.latent.page import _by_layer, _findings, _matrix, _switching, write_latent_page
from memcirc.studies.latent.results import LatentCell, LatentResults


def cell(policy: str, component: str, layer: int | None, step: int, switched: int) -> LatentCell:
    return LatentCell(policy, component, layer, step, 10, switched, 9 - switched, 1, 0.1, 0.9, 100 + switched)


@pytest.fixture
def results() -> LatentResults:
    cells = [
        cell(policy, *place, switched)
        for policy, numbers in (("propagate", (9, 3, 0)), ("freeze_latents", (1, 5, 7)))
        for place, switched in zip((("latent_in", None, 0), ("resid_post", 0, 1), ("z", 1, 0)), numbers, strict=True)
    ]
    return LatentResults(
        accuracy={0: 0.1, 1: 0.2, 2: 1.0},
        partition={"clean right, corrupt wrong": 10, "clean wrong, corrupt wrong": 2},
        cells=cells,
        by_group={"propagate, latent_in": np.array([[1.0, 1.0], [0.02, 1.0]])},
        expected={"propagate, latent_in": np.array([[1.0, 1.0], [0.0, 1.0]])},
        group_names=["0", "1"],
        n_layers=2,
        n_steps=2,
        self_patch=1e-8,
        examples=[{"clean": "1 + 2", "says": "3", "corrupt": "1 + 3", "says there": "4", "true answers": "3 / 4"}],
    )


def test_findings_say_how_far_what_is_known_was_met(results: LatentResults) -> None:
    accuracy, known, self_patch, propagate, freeze = _findings(results)
    assert "With all 2 latent steps 100.0% of the clean questions are answered right; with fewer at most 20.0%" in (
        accuracy.text
    )
    assert "within 0.020 of what it must be (threshold: 0.05)" in known.text
    assert [f.holds for f in (accuracy, known, self_patch, propagate, freeze)] == [True, True, True, None, None]
    assert "latent_in at step 0, 90% of 10 pairs switch" in propagate.text
    assert "z of layer 1 at step 0, 70% of 10 pairs switch" in freeze.text


def test_a_threshold_is_missed_where_it_should_be(results: LatentResults) -> None:
    off = {"propagate, latent_in": np.array([[1.0, 1.0], [0.06, 1.0]])}
    assert _findings(replace(results, by_group=off))[1].holds is False
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
    assert [(row["policy"], row["recovery"]) for row in fed] == [("propagate", 0.9), ("freeze_latents", 0.1)]


def test_groups_are_drawn_where_there_are_several(results: LatentResults, tmp_path: Path) -> None:
    for given, drawn in ((results, True), (replace(results, group_names=["0"]), False)):
        page = write_latent_page(tmp_path, given, {"seed": 1}, 0.05).with_suffix(".md").read_text(encoding="utf-8")
        assert ("When do the thoughts begin to differ?" in page) == drawn
        assert "| 1 + 2 | 3 | 1 + 3 | 4 | 3 / 4 |" in page
