import numpy as np
import pytest
import torch

from memcirc.memorization.generation import greedy
from memcirc.memorization.scores import score
from memcirc.models import Model
from tests.models import small_model

PROMPT, COMPLETION = 6, 8


def passages(model: Model, seed: int = 0) -> np.ndarray:
    """Half of them recited to a random length, half random."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, model.d_vocab, (12, PROMPT + COMPLETION))
    said = greedy(model, torch.from_numpy(rows[:8, :PROMPT]), COMPLETION).numpy()
    for row, recited in enumerate(rng.integers(0, COMPLETION + 1, 8)):
        rows[row, PROMPT : PROMPT + recited] = said[row, :recited]
    rows[0, PROMPT:] = said[0]
    return rows


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model("gpt2", dtype="float32")


def test_completions_equal_greedy_decoding_token_by_token(model: Model) -> None:
    rows = passages(model)
    sequence = torch.from_numpy(rows[:, :PROMPT])
    for _ in range(COMPLETION):
        sequence = torch.cat([sequence, model.logits(sequence)[:, -1].argmax(-1, keepdim=True)], dim=1)
    expected = sequence[:, PROMPT:].numpy()
    table = score(model, rows, PROMPT, COMPLETION, batch_size=5)
    assert np.array_equal(np.array(table["completion_ids"].to_pylist()), expected)
    truth = rows[:, PROMPT:]
    assert table["memorization_score"].to_pylist() == (expected == truth).mean(1).tolist()
    assert table["exact"].to_pylist() == (expected == truth).all(1).tolist()
    prefix = [
        next((i for i in range(COMPLETION) if e[i] != t[i]), COMPLETION) for e, t in zip(expected, truth, strict=True)
    ]
    assert table["prefix_match"].to_pylist() == prefix
    assert table["exact"].to_pylist()[0]


def test_log_probabilities_are_those_of_the_true_completion(model: Model) -> None:
    rows = passages(model)
    table = score(model, rows, PROMPT, COMPLETION)
    ids = torch.from_numpy(rows)
    logprobs = model.logits(ids).log_softmax(-1)[:, PROMPT - 1 : -1].gather(-1, ids[:, PROMPT:, None])[..., 0]
    np.testing.assert_allclose(table["logprob"].to_numpy(), logprobs.double().sum(1).numpy(), rtol=1e-5)


def test_the_smallest_gap_is_taken_up_to_the_first_mismatch(model: Model) -> None:
    rows = passages(model)
    table = score(model, rows, PROMPT, COMPLETION)
    top = model.logits(torch.from_numpy(rows))[:, PROMPT - 1 : -1].topk(2).values
    gaps = (top[..., 0] - top[..., 1]).numpy()
    expected = [gaps[i, : n + 1].min() for i, n in enumerate(table["prefix_match"].to_pylist())]
    np.testing.assert_allclose(table["min_gap"].to_numpy(), expected, rtol=1e-4, atol=1e-6)


def test_batches_do_not_change_the_scores(model: Model) -> None:
    rows = passages(model)
    one, many = (
        score(model, rows, PROMPT, COMPLETION, batch_size=1),
        score(model, rows, PROMPT, COMPLETION, batch_size=64),
    )
    for name in ("completion_ids", "memorization_score", "exact", "prefix_match", "bleu4"):
        assert one[name].to_pylist() == many[name].to_pylist()


def test_decoding_does_not_stop_at_eos(model: Model) -> None:
    assert greedy(model, torch.zeros(1, 2, dtype=torch.int64), 5).shape == (1, 5)


def test_a_micro_model_without_transformers_decodes_the_same_way(model: Model) -> None:
    bare = Model(model.name, model.hooked, None)
    ids = torch.from_numpy(passages(model)[:, :PROMPT])
    assert torch.equal(greedy(bare, ids, 4), greedy(model, ids, 4))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 2, 3], "put a single passage into a list"),
        (np.zeros((1, 14)), "token ids are whole numbers, not float64"),
        ([[1, 2, 3]], "a passage has 3 tokens; 6 \\+ 8 are needed"),
        (np.full((1, 14), 31), r"token id 31 is outside gpt2.*|token id 31 is outside .*vocabulary 0\.\.30"),
    ],
)
def test_bad_passages_are_refused(model: Model, ids: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(model, ids, PROMPT, COMPLETION)


def test_passages_longer_than_the_context_are_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="passages of 30 tokens do not fit"):
        score(model, np.zeros((1, 30), int), 15, 15)


def test_a_batch_of_no_passage_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size is 0; at least 1 is needed"):
        score(small_model("gpt2"), [[1] * 12], 6, 6, batch_size=0)
