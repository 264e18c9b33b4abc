"""Reading a ``HookedTransformer``: what it says of itself, and every part that is refused by name."""

from types import SimpleNamespace

import pytest
import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig

from memcirc.decoder.block import final_normed
from memcirc.decoder.forward import Forward
from memcirc.decoder.from_hooked import read_hooked, refuse_unsupported
from memcirc.decoder.weights import Weights
from memcirc.decoder.workspace import Workspace

USUAL = {
    "use_normalization_before_and_after": False, "normalization_type": "LN", "positional_embedding_type": "standard",
    "attn_only": False, "act_fn": "gelu", "use_qk_norm": False, "attn_scores_soft_cap": -1.0,
    "output_logits_soft_cap": -1.0, "scale_attn_by_inverse_layer_idx": False, "post_embedding_ln": False,
    "num_experts": None, "use_attention_sinks": False, "use_logn_attn": False, "use_dynamic_ntk_rope": False,
    "clip_qkv": None, "load_in_4bit": False,
}  # fmt: skip


def hooked(seed: int = 0, **parts: object) -> HookedTransformer:
    given = {
        "n_layers": 2, "d_model": 8, "n_ctx": 6, "d_head": 4, "n_heads": 2, "d_mlp": 12, "d_vocab": 11,
        "act_fn": "relu", "normalization_type": "RMS", "dtype": torch.float64, "seed": seed, **parts,
    }  # fmt: skip
    model = HookedTransformer(HookedTransformerConfig(**given)).eval()  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 3)
    return model


def logits(weights: Weights, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        final = Forward(weights, ids, Workspace(torch.device("cpu"))).final()
        return weights.read_out(weights.unembed(final_normed(weights, final)))


@pytest.mark.parametrize(
    "parts",
    [
        {}, {"normalization_type": "LN"}, {"normalization_type": None}, {"gated_mlp": True}, {"attn_only": True},
        {"normalization_type": "RMSPre"}, {"normalization_type": "LNPre"}, {"attention_dir": "bidirectional"},
        {"positional_embedding_type": "rotary", "rotary_dim": 4}, {"use_attn_scale": False},
        {"attn_types": ["global", "local"], "use_local_attn": True, "window_size": 2}, {"n_key_value_heads": 1},
        {"parallel_attn_mlp": True}, {"d_vocab_out": 3},
    ],
    ids=str,
)  # fmt: skip
def test_the_weights_that_are_read_give_the_models_own_logits(parts: dict[str, object]) -> None:
    model = hooked(**parts)
    ids = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])
    expected = model(ids, prepend_bos=False).detach()
    torch.testing.assert_close(logits(read_hooked(model), ids).view_as(expected), expected)


def test_a_rotary_table_is_extended_as_the_model_would_have_made_it() -> None:
    short = read_hooked(hooked(positional_embedding_type="rotary", rotary_dim=4, n_ctx=6))
    long = read_hooked(hooked(positional_embedding_type="rotary", rotary_dim=4, n_ctx=12))
    for length in (6, 7, 12):
        for found, expected in zip(
            short.rotaries["all"].table(length), long.rotaries["all"].table(length), strict=True
        ):
            torch.testing.assert_close(found[:length], expected[:length])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_normalization_before_and_after": True}, "norms behind its branches is not supported"),
        ({"normalization_type": "BatchNorm"}, "normalization 'BatchNorm' is not supported; supported: None, LN,"),
        ({"positional_embedding_type": "shortformer"}, "positional embedding 'shortformer' is not supported"),
        ({"act_fn": "solu_ln"}, "activation 'solu_ln' is not supported; supported: "),
        ({"use_qk_norm": True}, "with use_qk_norm is not"),
        ({"attn_scores_soft_cap": 5.0}, "with attn_scores_soft_cap is not"),
        ({"output_logits_soft_cap": 0.5}, "with output_logits_soft_cap is not"),
        ({"scale_attn_by_inverse_layer_idx": True}, "with scale_attn_by_inverse_layer_idx is not"),
        ({"post_embedding_ln": True}, "with post_embedding_ln is not"),
        ({"num_experts": 4}, "with num_experts is not"),
        ({"use_attention_sinks": True}, "with use_attention_sinks is not"),
        ({"use_logn_attn": True}, "with use_logn_attn is not"),
        ({"use_dynamic_ntk_rope": True}, "with use_dynamic_ntk_rope is not"),
        ({"clip_qkv": 8.0}, "with clip_qkv is not"),
        ({"load_in_4bit": True}, "with load_in_4bit is not"),
    ],
)
def test_what_is_not_computed_is_refused_by_its_name(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        refuse_unsupported(SimpleNamespace(**{**USUAL, **change}))


@pytest.mark.parametrize(
    "change",
    [
        {}, {"attn_only": True, "act_fn": None}, {"attn_scores_soft_cap": None, "output_logits_soft_cap": None},
        {"attn_scores_soft_cap": 0.0}, {"output_logits_soft_cap": 0.0},
    ],
)  # fmt: skip
def test_usual_configurations_are_accepted(change: dict[str, object]) -> None:
    refuse_unsupported(SimpleNamespace(**{**USUAL, **change}))
