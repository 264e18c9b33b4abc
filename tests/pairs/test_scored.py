"""Scored passages as arrays: what counts as memorized, as not memorized, and what a pair carries over."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from memcirc.memorization.divergence import DivergencePoint, divergence_points
from memcirc.pairs.config import PairsConfig
from memcirc.pairs.record import TooFewPairs
from memcirc.pairs.scored import Scored, low_rows, token_array
from tests.models import D_VOCAB, small_model

CONFIG = PairsConfig(threshold=0.5, low_threshold=0.2)


def table(scores: list[float], bos: str = "false", length: int = 9, **columns: list[Any]) -> pa.Table:
    tokens = np.random.default_rng(0).integers(0, D_VOCAB, (len(scores), length)).tolist()
    made = pa.table({"tokens": tokens, "bleu4": scores, **columns})
    return made.replace_schema_metadata({"prompt_tokens": "5", "bos": bos})


def scored(scores: list[float], config: PairsConfig = CONFIG, **columns: Any) -> Scored:
    return Scored(small_model("gpt2"), table(scores, **columns), config)


def test_memorized_passages_stand_from_the_highest_score_down_and_equal_ones_in_order() -> None:
    found = scored([0.5, 0.9, 0.49, 0.9, 0.2, 0.21, 1.0])
    assert found.memorized.tolist() == [6, 1, 3, 0]
    assert found.low.tolist() == [4]


def test_the_score_that_counts_is_the_metrics_own() -> None:
    config = replace(CONFIG, metric="memorization")
    found = scored([0.0, 1.0], config, memorization_score=[1.0, 0.0])
    assert (found.memorized.tolist(), found.low.tolist()) == ([0], [1])


@pytest.mark.parametrize(("bos", "expected"), [("true", True), ("false", False)])
def test_a_table_says_its_prompts_length_and_whether_a_bos_stood_before_them(bos: str, expected: bool) -> None:
    found = scored([1.0], bos=bos)
    assert (found.prompt_tokens, found.bos) == (5, expected)


def test_what_is_not_known_of_a_passage_is_left_empty() -> None:
    found = scored([1.0, 0.0])
    assert found.origin(1) == {
        "doc_id": "1", "subset": "", "family": "", "copies": None, "taxonomy": "", "induction": None,
        "prior_lift": None,
    }  # fmt: skip


def test_what_is_known_of_a_passage_goes_into_its_pair() -> None:
    found = scored(
        [1.0, 0.0, 0.0], doc_id=["a", None, "c"], subset=["wiki", None, "x"], family=["f", None, ""],
        copies=[3, None, 1], taxonomy=["recite", None, ""], induction=[0.5, None, 0.0],
        prior_logprob=[-9.0, -4.0, None], logprob=[-2.0, None, -1.0],
    )  # fmt: skip
    assert found.origin(0) == {
        "doc_id": "a", "subset": "wiki", "family": "f", "copies": 3, "taxonomy": "recite", "induction": 0.5,
        "prior_lift": 7.0,
    }  # fmt: skip
    assert found.origin(1) == {
        "doc_id": "", "subset": "", "family": "", "copies": None, "taxonomy": "", "induction": None,
        "prior_lift": None,
    }  # fmt: skip
    assert found.prior_lift[2] is None


def test_a_prompt_is_the_first_tokens_of_its_passage() -> None:
    found = scored([1.0, 0.0])
    assert found.prompt(1, 3) == tuple(token_array(table([1.0, 0.0]))[1, :3].tolist())


def test_trivial_passages_are_left_out_and_counted_by_their_pattern() -> None:
    found = scored([1.0, 0.9, 0.8, 0.7, 0.0], pattern=["digits", None, "digits", "spaces", "digits"])
    dropped: Counter[str] = Counter()
    found.drop_trivial(dropped)
    assert found.memorized.tolist() == [1]
    assert dropped == {"trivial text: digits": 2, "trivial text: spaces": 1}


def test_where_nothing_is_memorized_nothing_is_trivial() -> None:
    found = scored([0.1, 0.2], pattern=["digits", None])
    dropped: Counter[str] = Counter()
    found.drop_trivial(dropped)
    assert (found.memorized.tolist(), dropped) == ([], {})


def test_without_a_passage_of_low_score_the_lowest_is_named() -> None:
    found = scored([1.0, 0.25, 0.5])
    with pytest.raises(TooFewPairs, match=r"at most low_threshold 0.2: the lowest is 0.250; raise --low_thresh"):
        found.require_low()
    scored([1.0, 0.2]).require_low()


def test_points_are_those_of_memorized_passages_and_the_others_have_none() -> None:
    found = scored([0.0, 1.0, 0.1, 0.7])
    points = found.find_points()
    expected = divergence_points(found.model, found.tokens[found.memorized], 5, 4, "bleu", CONFIG.drop, 64)
    assert found.memorized.tolist() == [1, 3]
    assert [points[1], points[3]] == expected
    assert points[0] is points[2] is None
    dropped: Counter[str] = Counter()
    kept = list(found.diverging([None, *points[1:]], dropped))
    assert [row for row, _ in kept] == [row for row in (1, 3) if points[row] is not None]
    assert dropped["no divergence point"] == sum(points[row] is None for row in (1, 3))


def test_points_of_rows_are_yielded_with_their_rows_and_missing_ones_counted() -> None:
    found, point = scored([1.0, 0.9, 0.8]), DivergencePoint(5, (1, 2), (3, 4), 0.9, 0.1)
    dropped: Counter[str] = Counter()
    assert list(found.diverging([point, None, point], dropped)) == [(0, point), (2, point)]
    assert dropped == {"no divergence point": 1}


def test_tokens_are_rows_of_whole_numbers_also_where_there_is_none() -> None:
    tokens = pa.chunked_array(
        [pa.array([[1, 2, 3]], pa.list_(pa.int32())), pa.array([[4, 5, 6]], pa.list_(pa.int32()))]
    )
    found = token_array(pa.table({"tokens": tokens}))
    assert (found.tolist(), found.dtype) == ([[1, 2, 3], [4, 5, 6]], np.int64)
    assert token_array(pa.table({"tokens": pa.array([], pa.list_(pa.int32()))})).shape == (0, 0)


def test_too_many_passages_of_low_score_are_sampled_by_the_splits_seed() -> None:
    scores = np.linspace(0, 1, 101)
    every = low_rows(scores, CONFIG)
    assert every.tolist() == list(range(21))
    assert low_rows(scores, replace(CONFIG, max_candidates=21)).tolist() == every.tolist()
    config = replace(CONFIG, max_candidates=8)
    some, again, other = (low_rows(scores, replace(config, split_seed=seed)) for seed in (0, 0, 1))
    assert some.tolist() == again.tolist() == sorted(set(some.tolist()))
    assert (len(some), set(some.tolist()) <= set(range(21))) == (8, True)
    assert some.tolist() != other.tolist()
