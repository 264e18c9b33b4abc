"""Extraction: the same model in plain weights."""

import pytest
import torch

from memcirc.decoder.block import final_normed
from memcirc.decoder.from_hooked import refuse_unsupported
from memcirc.decoder.workspace import Workspace
from memcirc.engine.batch import EngineBatch
from memcirc.engine.frame import frames
from memcirc.engine.objective import all_logits
from memcirc.engine.plain import plain_run
from memcirc.engine.values import embedding
from tests.models import ARCHITECTURES, random_pairs, small_model


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_plain_run_has_the_models_own_logits(architecture: str) -> None:
    model = small_model(architecture)
    weights, pairs = model.weights, random_pairs(3, 7)
    (frame,) = frames(weights, pairs, None, share_prefix=False, sequence=False)
    with torch.no_grad():
        run = plain_run(
            EngineBatch(weights, frame, None, Workspace(weights.device)), embedding(weights, frame, "clean")
        )
        expected = model.hooked(frame.clean, prepend_bos=False)[:, -1]
    torch.testing.assert_close(all_logits(weights, final_normed(weights, run.residuals.final))[:, 0, 0], expected)


def test_weights_are_extracted_once_and_again_after_a_change() -> None:
    model = small_model("gpt2")
    first = model.weights
    assert model.weights is first
    with torch.no_grad():
        next(iter(model.source.parameters())).mul_(2)
    assert model.weights is not first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_normalization_before_and_after": True}, "norms behind its branches"),
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
