"""Extraction: the same model in plain weights."""

import pytest
import torch

from memcirc.engine.ablation import embedding
from memcirc.engine.frame import frames
from memcirc.engine.layers import final_normed
from memcirc.engine.objective import all_logits
from memcirc.engine.plain import plain_run
from memcirc.engine.weights import refuse_unsupported, weights_of
from memcirc.engine.workspace import Workspace
from tests.models import ARCHITECTURES, random_pairs, small_model


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_plain_run_has_the_models_own_logits(architecture: str) -> None:
    model = small_model(architecture)
    weights, pairs = weights_of(model), random_pairs(3, 7)
    (frame,) = frames(weights, pairs, None, share_prefix=False, sequence=False)
    with torch.no_grad():
        run = plain_run(weights, frame, embedding(weights, frame, "clean"), Workspace(weights.device))
        expected = model.hooked(frame.clean, prepend_bos=False)[:, -1]
    torch.testing.assert_close(all_logits(weights, final_normed(weights, run.residuals.final))[:, 0, 0], expected)


def test_weights_are_extracted_once_and_again_after_a_change() -> None:
    model = small_model("gpt2")
    first = weights_of(model)
    assert weights_of(model) is first
    with torch.no_grad():
        model.hooked.blocks[0].attn.W_Q.mul_(2)
    assert weights_of(model) is not first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_normalization_before_and_after": True}, "post-norm models are not supported"),
        ({"positional_embedding_type": "alibi"}, "positional embedding 'alibi' is not supported"),
        ({"act_fn": "solu_ln"}, "activation 'solu_ln' is not supported"),
        ({"use_qk_norm": True}, "use_qk_norm"),
        ({"attn_scores_soft_cap": 30.0}, "attn_scores_soft_cap"),
    ],
)
def test_what_the_engine_does_not_compute_is_refused(change: dict[str, object], message: str) -> None:
    cfg = small_model("gpt2").hooked.cfg
    for name, value in change.items():
        setattr(cfg, name, value)
    with pytest.raises(ValueError, match=message):
        refuse_unsupported(cfg)
