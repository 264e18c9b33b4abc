"""What is asked of both models, against full passes and logits."""

import numpy as np
import pytest
import torch

from memcirc.patching.patches import Patch
from memcirc.patching.sites import Site
from memcirc.patching.sweep import patch_sweep
from memcirc.studies.pii.samples import pairs_of
from memcirc.studies.pii.two_models import EXACT, LOGPROB, TwoModels


def test_recitation_is_that_of_the_logits(two: TwoModels) -> None:
    for model in two.by_name.values():
        exact, logprob = two.recites(model, two.samples)
        for i, sample in enumerate(two.samples):
            ids = torch.tensor([[*sample.prompt_ids, *sample.answer_ids]])
            said = model.logits(ids)[0, len(sample.prompt_ids) - 1 : -1].double().log_softmax(-1)
            chosen = said[torch.arange(len(sample.answer_ids)), list(sample.answer_ids)]
            assert logprob[i] == pytest.approx(float(chosen.sum()), abs=1e-4)
            assert exact[i] == (said.argmax(-1).tolist() == list(sample.answer_ids))
    assert two.recites(two.target, two.samples)[0].all()


def test_a_gain_is_the_mean_change_in_the_control_by_full_passes(two: TwoModels) -> None:
    patches = [Patch((Site("mlp_out", 0), Site("attn_out", 1))), Patch((Site("resid_post", 1),))]
    slow = patch_sweep(
        two.control, pairs_of(two.samples), sites=patches, source_model=two.target, metrics=LOGPROB, normalize=False,
        full_passes=True,
    )  # fmt: skip
    np.testing.assert_allclose(two.gain(patches, two.samples), slow.changes(LOGPROB).mean(1), atol=1e-4)


def test_a_sweep_into_the_target_takes_the_controls_values(two: TwoModels) -> None:
    everything = [Patch((Site("ln_final_normalized"),))]
    into, out_of = (two.sweep(everything, two.samples, base) for base in (None, two.target))
    np.testing.assert_allclose(into.base[LOGPROB], out_of.source[LOGPROB], atol=1e-4)
    np.testing.assert_allclose(into.source[LOGPROB], out_of.base[LOGPROB], atol=1e-4)
    assert list(into.values) == [LOGPROB, EXACT]
    with_tokens = two.sweep(everything, two.samples, tokens=True)
    assert list(with_tokens.values) == [LOGPROB, EXACT, *(f"token_logprob_{k}" for k in range(3))]
    np.testing.assert_allclose(
        sum(with_tokens.values[f"token_logprob_{k}"] for k in range(3)), with_tokens.values[LOGPROB], atol=1e-5
    )


def test_sites_that_hold_the_same_are_swept_once(two: TwoModels) -> None:
    assert len(two.sites) == 1 + 14 * 2
    assert set(two.distinct_sites) == set(two.leaders.values())
    assert two.leaders[Site("resid_pre", 0)] == Site("embed")
