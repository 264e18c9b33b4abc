"""The page by its numbers: what it says is what was measured."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from memcirc.report.sections import Section
from memcirc.studies.ioi.findings import METRIC
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
from tests.studies.ioi.made import sweep


def rows(section: Section, number: int = 0) -> list[dict[str, Any]]:
    return [dict(row) for row in section.tables[number].rows]


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
