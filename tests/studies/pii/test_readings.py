"""What both models hold, nothing patched: against TransformerLens' caches."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from memcirc.studies.pii.projections import silhouette
from memcirc.studies.pii.readings import attention_patterns, direct_parts, separation
from memcirc.studies.pii.two_models import TwoModels


def test_attention_is_that_of_the_strongest_heads(two: TwoModels) -> None:
    heads = np.array([[[0.1, 0.4], [0.3, -2.0]], [[0.0, 0.0], [0.0, 0.0]]])
    panels, tokens = attention_patterns(two, two.samples[0], heads)
    assert [title.split(" (")[0] for title in panels] == [
        f"{name}, head {head}" for head in ("0.1", "1.0", "0.0") for name in ("target", "control")
    ]
    sample = two.samples[0]
    ids = torch.tensor([[*sample.prompt_ids, *sample.answer_ids[:-1]]])
    for name, model in two.by_name.items():
        cache = model.hooked.run_with_cache(ids, prepend_bos=False)[1]
        expected = cache["blocks.1.attn.hook_pattern"][0, 0]
        np.testing.assert_allclose(panels[f"{name}, head 1.0 (+0.30 nats)"], expected, atol=1e-5)
    assert len(tokens) == ids.shape[1]


def test_direct_effects_add_up_to_the_answers_logits_above_the_mean(two: TwoModels) -> None:
    samples = two.samples[:4]
    parts = direct_parts(two.target, samples)
    total = parts["embed"] + parts["biases"] + parts["heads"].sum() + parts["mlps"].sum()
    expected = []
    for sample in samples:
        logits = two.target.logits(torch.tensor([[*sample.prompt_ids, *sample.answer_ids]]))[0].double()
        at = logits[len(sample.prompt_ids) - 1 : -1]
        expected += (at[torch.arange(len(at)), list(sample.answer_ids)] - at.mean(-1)).tolist()
    assert total == pytest.approx(np.mean(expected), abs=1e-4)
    assert parts["heads"].shape == (2, 2)


def test_separation_is_measured_at_the_end_of_the_prompt_after_every_block(two: TwoModels) -> None:
    analysed = [sample for sample in two.samples if sample.injected]
    found = separation(two, analysed)
    assert found is not None
    assert found.layers == (1, 2)
    others = [sample for sample in two.samples if not sample.injected]
    assert found.memorized.tolist() == [True] * len(analysed) + [False] * len(others)
    ends = []
    for sample in (*analysed, *others):
        cache = two.control.hooked.run_with_cache(torch.tensor([list(sample.prompt_ids)]), prepend_bos=False)[1]
        ends.append([cache[f"blocks.{layer}.hook_resid_post"][0, -1].double().numpy() for layer in range(2)])
    for layer in range(2):
        expected = silhouette(np.stack([end[layer] for end in ends]), found.memorized)
        assert found.silhouettes["control"][layer] == pytest.approx(expected, abs=1e-4)
    assert found.best_layer == 1 + int(np.argmax(found.silhouettes["target"]))
    assert found.pca["target"].shape == (len(two.samples), 2)


def test_too_few_passages_are_not_separated(two: TwoModels) -> None:
    assert separation(two, two.samples[:1]) is None
    assert separation(replace(two, samples=two.samples[:4]), two.samples[:4]) is None
