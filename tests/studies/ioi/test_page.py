"""The page by its numbers: what it says is what was measured."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from memcirc.patching.direct import DirectEffects
from memcirc.patching.patches import Patch
from memcirc.patching.result import Sweep
from memcirc.patching.screen import ScreenCheck
from memcirc.patching.sites import Site
from memcirc.report.sections import Section
from memcirc.studies.ioi.page import (
    METRIC,
    _blocks,
    _direct,
    _factual,
    _findings,
    _heads,
    _next_tokens,
    _screens,
    _task,
)
from memcirc.studies.ioi.prompts import ROLES, IoiPair
from memcirc.studies.ioi.results import IoiResults, Screened

POSITIONS = len(ROLES)


def sweep(effects: np.ndarray, *axes: str) -> Sweep:
    """Two examples of the same effects, between 0 and 4; labels name the cells."""
    cells = tuple(tuple(int(i) for i in cell) for cell in np.ndindex(effects.shape))
    patches = tuple(Patch((Site("z", 0),), " ".join(map(str, cell))) for cell in cells)
    values = np.repeat(4 * effects.reshape(-1, 1), 2, axis=1)
    return Sweep(
        pa.table({}), {METRIC: values}, {METRIC: np.zeros(2)}, {METRIC: np.full(2, 4.0)}, {METRIC: 0.0}, axes,
        effects.shape, cells, patches, "denoise", (), 0.0,
    )  # fmt: skip


@pytest.fixture
def results() -> IoiResults:
    """Two layers of two heads; the residual stream carries the giver at its own position, then at the end."""
    blocks = np.zeros((3, 2, POSITIONS))
    blocks[0, 0, ROLES.index("giver")], blocks[0, 1, -1] = 1.0, 0.75
    heads = np.array([[0.5, -0.25], [0.125, 0.0]])
    sweeps = {}
    for direction in ("denoise", "noise"):
        sweeps[f"block_every ({direction})"] = sweep(blocks, "kind", "layer", "pos")
        sweeps[f"head_out_all_pos ({direction})"] = sweep(heads, "layer", "head")
        sweeps[f"head_all_pos_every ({direction})"] = sweep(np.stack([heads] * 5), "kind", "layer", "head")
    direct = DirectEffects(torch.ones(2), torch.ones(2, 2, 2), torch.ones(2, 2), torch.full((2,), 0.5))
    return IoiResults(
        pairs=[IoiPair("Ann gave", "Bob gave", " Bob", " Ann")],
        correct={"clean": 0.9, "corrupt": 0.5},
        logit_diff={"clean": 7.5, "corrupt": -7.0},
        selftest={"clean run": 1.0, "corrupt run": 0.0, "half way": 0.5},
        sweeps=sweeps,
        direct=direct,
        attention={"head 0.0": np.eye(POSITIONS)},
        position_labels=list(ROLES),
        top_tokens={"Ann gave": [(" a", 0.5), (" a", 0.25)]},
        screens=[Screened("head_q_by_pos", 0.99, 0.5, 0.4, ScreenCheck(3, 6, 0.8, 0.9, 1.0))],
        factual=None,
        factual_labels=(),
    )


def rows(section: Section, number: int = 0) -> list[dict[str, Any]]:
    return [dict(row) for row in section.tables[number].rows]


def test_findings_say_the_numbers_and_whether_they_meet_their_thresholds(results: IoiResults) -> None:
    answers, selftest, where, best, worst, direct, screened = _findings(results)
    assert "90% of the clean prompts and the other name to 50%" in answers.text
    assert "layer 0: giver (1.00); layer 1: to (0.75)" in where.text
    assert best.text == "The strongest head when denoised is 0 0: +0.50."
    assert worst.text == "The most harmful head when denoised is 0 1: -0.25."
    assert [f.holds for f in (answers, selftest, where, direct, screened)] == [True, True, None, True, True]
    missed = replace(
        results, correct={"clean": 0.89, "corrupt": 1.0}, logit_diff={"clean": 7.52, "corrupt": 0.0},
        screens=[replace(results.screens[0], with_fix=0.97)],
    )  # fmt: skip
    assert [f.holds for f in _findings(missed)] == [False, True, None, None, None, False, False]
    worse_fix = replace(results, screens=[replace(results.screens[0], without_fix=0.995)])
    assert _findings(worse_fix)[-1].holds is False


def test_heads_are_ranked_by_sign_with_their_intervals(results: IoiResults, tmp_path: Path) -> None:
    section = _heads(tmp_path, results)
    signed, positive, negative = (rows(section, i) for i in range(3))
    assert [row["head"] for row in signed] == ["0 0", "0 1", "1 0"]
    assert [row["effect"] for row in positive] == [0.5, 0.125]
    assert negative == [{"head": "0 1", "effect": -0.25, "low": -0.25, "high": -0.25}]
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
