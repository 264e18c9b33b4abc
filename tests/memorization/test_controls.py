import numpy as np
import pytest
import torch

from memcirc.memorization.controls import induction_share, prior_logprob
from tests.models import small_model


def test_induction_copies_what_followed_last() -> None:
    assert induction_share(np.array([1, 2, 3, 1, 2, 3]), 3) == pytest.approx(2 / 3)  # 3 -> 1 was never seen
    assert induction_share(np.array([1, 2, 1, 3, 1, 3]), 4) == pytest.approx(1 / 2)  # the later occurrence wins
    assert induction_share(np.arange(8), 4) == 0


def test_the_prior_is_the_mean_over_unrelated_prompts() -> None:
    model = small_model("gpt2", dtype="float64")
    rng = np.random.default_rng(0)
    passages, prompts = rng.integers(0, model.d_vocab, (4, 10)), rng.integers(0, model.d_vocab, (3, 6))
    unrelated = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)
    found = prior_logprob(model, passages, prompts, unrelated, batch_size=3)
    for row in range(3):
        probabilities = []
        for prompt in prompts[unrelated[row]]:
            ids = torch.from_numpy(np.concatenate([prompt, passages[row, 6:]]))
            logprobs = model.logits(ids[None]).log_softmax(-1)[0, 5:-1]
            probabilities.append(logprobs.gather(-1, ids[6:, None]).sum().exp().item())
        assert found[row] == pytest.approx(np.log(np.mean(probabilities)), rel=1e-4)
    assert np.isnan(found[3])
