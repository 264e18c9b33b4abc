"""Pairs of both modes on a small random model whose own greedy text plays the memorized passages."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from memcirc.memorization.divergence import DivergencePoint, divergence_points, next_tokens
from memcirc.memorization.generation import greedy
from memcirc.memorization.scores import score
from memcirc.models import Model
from memcirc.pairs.gate import CLEAN_REASON, CORRUPT_REASON, gate
from memcirc.pairs.make import make_pairs
from memcirc.pairs.record import Pair, Pairs
from tests.models import small_model

PROMPT, TOTAL = 6, 12


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model("gpt_neo", dtype="float32")


@pytest.fixture(scope="module")
def table(model: Model) -> pa.Table:
    """Recited passages (a random opening, then the model's own words) and random ones."""
    rng = np.random.default_rng(3)
    rows = rng.integers(0, model.d_vocab, (260, TOTAL))
    for i in range(60):
        cut = 1 + i % PROMPT
        rows[i, cut:] = greedy(model, torch.from_numpy(rows[i : i + 1, :cut]), TOTAL - cut)[0]
    scored = score(model, rows, PROMPT, TOTAL - PROMPT)
    return scored.append_column("doc_id", pa.array([f"doc{i}" for i in range(len(rows))]))


def test_branch_pairs_share_the_context_and_contrast_truth_with_the_models_word(model: Model, table: pa.Table) -> None:
    pairs = make_pairs(model, table, mode="divergence", threshold=0.9)
    points = divergence_points(model, table["tokens"].to_pylist(), PROMPT, TOTAL - PROMPT)
    assert len(pairs) > 5
    for pair in pairs:
        row = int(pair.doc_id.removeprefix("doc"))
        point, tokens = points[row], table["tokens"][row].as_py()
        assert point is not None
        assert pair.divergence == point.length
        assert pair.clean_ids == tuple(tokens[: point.length + 1])
        assert pair.corrupt_ids == (*tokens[: point.length], point.model_continuation[0])
        assert pair.answer_ids == (tokens[point.length + 1],)
        assert pair.wrong_answer_ids == (point.model_continuation[1],)


def test_withheld_pairs_put_the_same_token_once_in_and_once_out_of_the_models_mouth(
    model: Model, table: pa.Table
) -> None:
    pairs = make_pairs(model, table, mode="dataset", threshold=0.9, low_threshold=0.3)
    tokens = {f"doc{i}": row for i, row in enumerate(table["tokens"].to_pylist())}
    for pair in pairs:
        d = pair.divergence
        assert d is not None
        memorized, other = tokens[pair.doc_id], tokens[pair.corrupt_doc_id]
        assert (pair.clean_ids, pair.corrupt_ids) == (tuple(memorized[:d]), tuple(other[:d]))
        assert pair.wrong_answer_ids == (memorized[d],) == (other[d],)
        said = next_tokens(model, [[*pair.clean_ids, 0], [*pair.corrupt_ids, 0]])[:, d]
        assert (pair.answer_ids, pair.wrong_answer_ids) == ((said[0],), (said[1],))


def test_prompt_pairs_use_each_passage_of_low_score_once(model: Model, table: pa.Table) -> None:
    pairs = make_pairs(model, table, mode="dataset", use_divergence=False, threshold=0.9, low_threshold=0.3)
    others = [pair.corrupt_doc_id for pair in pairs]
    assert len(set(others)) == len(others)
    assert all(len(pair) == PROMPT for pair in pairs)


def test_every_memorized_passage_is_a_pair_or_counted(model: Model, table: pa.Table) -> None:
    memorized = int((table["bleu4"].to_numpy() >= 0.9).sum())
    for options in ({"mode": "divergence"}, {"mode": "dataset"}, {"mode": "dataset", "use_divergence": False}):
        pairs = make_pairs(model, table, threshold=0.9, low_threshold=0.3, **options)
        assert len(pairs) + sum(pairs.dropped.values()) == memorized


def test_no_passage_over_the_threshold_is_refused_with_the_highest_score(model: Model, table: pa.Table) -> None:
    low = table.filter(pa.array(table["bleu4"].to_numpy() < 0.5))
    with pytest.raises(
        ValueError, match=r"no passage reaches threshold 0\.9: the highest bleu score of \d+ passages is 0\."
    ):
        make_pairs(model, low, threshold=0.9)


def test_an_empty_pair_set_is_refused_with_its_reasons(model: Model, table: pa.Table) -> None:
    with pytest.raises(ValueError, match=r"the pair set is empty: of \d+ memorized passages, .*same token there"):
        make_pairs(model, table.slice(0, 62), mode="dataset", threshold=0.9, low_threshold=0.3)


def test_a_low_threshold_that_no_passage_meets_is_refused_with_the_lowest_score(model: Model, table: pa.Table) -> None:
    with pytest.raises(ValueError, match=r"at most low_threshold 0\.01: the lowest is 0\.186; raise"):
        make_pairs(model, table, mode="dataset", threshold=0.9, low_threshold=0.01)


@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_a_threshold_outside_the_unit_interval_is_refused(model: Model, table: pa.Table, threshold: float) -> None:
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        make_pairs(model, table, threshold=threshold)


def test_the_gate_drops_what_the_runtime_no_longer_says() -> None:
    def always_four(ids: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.full(ids.shape, 4), 6).float()

    right = Pair((1,), (2,), (4,), (4,))
    wrong_clean, wrong_corrupt = Pair((1,), (2,), (3,), (4,)), Pair((1,), (2,), (4,), (3,))
    passed = gate(Pairs((right, wrong_clean, wrong_corrupt), dropped={"earlier": 2}), always_four)
    assert passed.items == (right,)
    assert passed.dropped == {"earlier": 2, CLEAN_REASON: 1, CORRUPT_REASON: 1}


@pytest.mark.parametrize("mode", ["dataset", "divergence"])
def test_a_set_that_is_empty_for_want_of_divergence_points_names_the_option(
    model: Model, table: pa.Table, mode: str
) -> None:
    none: list[DivergencePoint | None] = [None] * len(table)
    with pytest.raises(ValueError, match="no divergence point") as refused:
        make_pairs(model, table, none, mode=mode, threshold=0.9, low_threshold=0.3)
    assert ("--no_use_divergence needs no such point" in str(refused.value)) == (mode == "dataset")
