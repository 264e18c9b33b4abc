import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memcirc.memorization.extraction import Sampling, extraction_probability, samples_needed
from memcirc.memorization.scores import score
from tests.models import small_model


def test_hand_worked_probabilities() -> None:
    assert extraction_probability(np.log([0.5]), 1) == pytest.approx([0.5])
    assert extraction_probability(np.log([0.5]), 3) == pytest.approx([0.875])
    assert samples_needed(np.log([0.5]), 0.875).tolist() == [3]
    assert samples_needed(np.array([0.0, -np.inf]), 0.9).tolist() == [1, math.inf]


def test_tiny_probabilities_do_not_vanish() -> None:
    assert extraction_probability(np.array([-50.0]), 10) == pytest.approx([10 * math.exp(-50)])


@given(st.floats(-12, -0.01), st.floats(0.01, 0.99))
def test_the_samples_needed_are_the_fewest(logprob: float, p: float) -> None:
    n = int(samples_needed(np.array([logprob]), p)[0])
    assert extraction_probability(np.array([logprob]), n)[0] >= p - 1e-9
    if n > 1:
        assert extraction_probability(np.array([logprob]), n - 1)[0] < p + 1e-9


def test_top_k_and_temperature_by_hand() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    best = logits.topk(2).values
    said = logits[:, 1]
    expected = 1 / (math.exp(2) + 1)  # temperature 1/2 over the two likeliest: e^2 / (e^4 + e^2)
    assert Sampling(2, 0.5).logprob(said, best, logits).exp().item() == pytest.approx(expected)
    assert Sampling(2, 0.5).logprob(logits[:, 2], best, logits).item() == -math.inf


def test_the_score_table_carries_the_scheme() -> None:
    model = small_model("gpt2", dtype="float32")
    rows = np.random.default_rng(0).integers(0, model.d_vocab, (5, 12))
    plain = score(model, rows, 6, 6, level="logprob")
    assert plain["extraction_logprob"].equals(plain["logprob"])
    greedy = score(model, rows, 6, 6, level="logprob", sampling=Sampling(top_k=1))
    exact = greedy["exact"].to_pylist()
    assert [p == 0 for p in greedy["extraction_logprob"].to_pylist()] == exact
    assert greedy.schema.metadata[b"sampling"] == b"temperature 1, top_k 1"


@pytest.mark.parametrize(
    ("scheme", "named"), [({"top_k": -1}, "top_k is -1"), ({"temperature": 0.0}, "temperature is 0")]
)
def test_a_scheme_out_of_range_is_refused(scheme: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Sampling(**scheme)  # type: ignore[arg-type]


def test_n_and_p_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="0 samples"):
        extraction_probability(np.zeros(1), 0)
    with pytest.raises(ValueError, match=r"p is 1\.0"):
        samples_needed(np.zeros(1), 1.0)
