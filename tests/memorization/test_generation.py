"""Ragged decoding behind one teacher-forced pass against transformers' ``generate``, one passage at a time."""

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from memcirc.memorization.config import LEVELS
from memcirc.memorization.generation import continue_from, greedy, recited
from memcirc.memorization.scores import score
from memcirc.models import Model
from tests.models import HF_MODELS, small_hf_model

PROMPT, COMPLETION = 6, 12


@pytest.fixture(scope="module", params=HF_MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    return small_hf_model(request.param)


def generated(model: Model, context: np.ndarray, n_tokens: int) -> list[int]:
    """What transformers' own greedy decoding says behind a context, EOS or not."""
    assert model.hf is not None
    model.hf.generation_config.eos_token_id = None
    endless = GenerationConfig(max_new_tokens=int(n_tokens), do_sample=False, pad_token_id=0, eos_token_id=None)
    ids = torch.from_numpy(context[None])
    said = model.hf.generate(ids, attention_mask=torch.ones_like(ids), generation_config=endless)
    return said[0, len(context) :].tolist()


def passages(model: Model) -> np.ndarray:
    """Recited for 0 to all tokens, then something else."""
    rng = np.random.default_rng(1)
    rows = rng.integers(0, model.d_vocab, (9, PROMPT + COMPLETION))
    said = greedy(model, torch.from_numpy(rows[:, :PROMPT]), COMPLETION).numpy()
    for row, told in enumerate((0, 1, 2, 4, 5, 6, 11, 12, 12)):
        rows[row, PROMPT : PROMPT + told] = said[row, :told]
        if told < COMPLETION:
            rows[row, PROMPT + told] = (said[row, told] + 1) % model.d_vocab
    return rows


def test_contexts_of_unequal_length_go_on_as_if_alone(model: Model) -> None:
    rows = passages(model)
    at = np.array([1, 17, 6, 6, 9, 3, 12, 2, 17])
    said = np.array([generated(model, row[:n], 1)[0] for row, n in zip(rows, at, strict=True)])
    for row, n, tail in zip(rows, at, continue_from(model, rows, at, said, batch_size=4), strict=True):
        assert tail.tolist() == generated(model, row[:n], len(row) - n)


def test_completions_behind_the_teacher_forced_pass_are_those_of_generate(model: Model) -> None:
    rows = passages(model)
    table = score(model, rows, PROMPT, COMPLETION, batch_size=7)
    assert table["completion_ids"].to_pylist() == [generated(model, row[:PROMPT], COMPLETION) for row in rows]


def test_leaving_at_the_first_mismatch_finds_the_same_prefix(model: Model) -> None:
    rows = passages(model)
    found = recited(model, torch.from_numpy(rows), PROMPT)
    full = score(model, rows, PROMPT, COMPLETION)
    assert found.matched.tolist() == full["prefix_match"].to_pylist() == [0, 1, 2, 4, 5, 6, 11, 12, 12]
    np.testing.assert_allclose(found.gap.numpy(), full["min_gap"].to_numpy(), rtol=1e-3, atol=1e-5)


def test_every_level_says_the_same(model: Model) -> None:
    rows = passages(model)
    exact, logprob, completion, full = (
        score(model, rows, PROMPT, COMPLETION, batch_size=7, level=level) for level in LEVELS
    )
    assert completion["completion_ids"].equals(full["completion_ids"])
    for table in (exact, logprob, completion):
        for name in ("tokens", "exact", "prefix_match", "near_tie"):
            assert table[name].equals(full[name])
    for name in ("logprob", "extraction_logprob"):
        np.testing.assert_allclose(logprob[name].to_numpy(), full[name].to_numpy(), rtol=1e-4)
    for one in (logprob, completion):
        assert set(exact.column_names) < set(one.column_names) < set(full.column_names)
