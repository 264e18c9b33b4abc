"""Scores and continuations of every model type: transformers' passes with a cache, against memcirc's own logits."""

import numpy as np
import pytest
import torch

from memcirc.memorization.generation import continue_from, teacher_forced
from tests.decoder.families import D_VOCAB, MODELS, loaded

PASSAGES = torch.randint(1, D_VOCAB, (4, 12), generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("name", MODELS)
def test_log_probabilities_are_those_of_the_models_logits(name: str) -> None:
    model = loaded(name, dtype="float32")
    found = teacher_forced(model, PASSAGES, 5)
    logprobs = model.logits(PASSAGES[:, :-1]).log_softmax(-1)[:, 4:]
    expected = logprobs.gather(-1, PASSAGES[:, 5:, None])[..., 0]
    torch.testing.assert_close(found.logprob, expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(found.greedy, logprobs.argmax(-1))


@pytest.mark.parametrize("name", MODELS)
def test_rows_of_several_lengths_are_continued_as_each_alone(name: str) -> None:
    """Windows, positions and biases stay where they belong when rows are shifted in one cache."""
    model, at = loaded(name, dtype="float32"), np.array([4, 9, 6, 6])
    expected, said = [], []
    for row, n in zip(PASSAGES, at, strict=True):
        context = row[:n]
        while len(context) < 12:
            context = torch.cat([context, model.logits(context)[0, -1].argmax(-1, keepdim=True)])
        expected.append(context[n:].tolist())
        said.append(expected[-1][0])
    found = continue_from(model, PASSAGES.numpy(), at, np.array(said), batch_size=4)
    assert [tail.tolist() for tail in found] == expected
