"""From transformers' weights to a ``HookedTransformer``: what each supported architecture needs.

For every architecture there is a reader of its configuration and TransformerLens' converter of its weights. What the
hooked form would drop without a word (biases of a Llama, a rope variant) is refused instead, and the context ends where
a sliding window would begin to hide what came before.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.loading_from_pretrained import (
    convert_gpt2_weights,
    convert_llama_weights,
    convert_mistral_weights,
    convert_neo_weights,
    convert_neox_weights,
    convert_qwen2_weights,
)
from transformers import PreTrainedModel


def hooked_twin(hf: PreTrainedModel, grouped_kv: bool = False) -> HookedTransformer:
    """The same weights as a ``HookedTransformer``, with nothing folded or centred, on the same device and dtype.

    Raises:
        ValueError: unsupported architecture, or a feature of it that the hooked form would drop silently.
    """
    kind, facts = hf.config.model_type, hooked_facts(hf.config)
    convert = _ARCHITECTURES[kind][1]
    cfg = HookedTransformerConfig.from_dict(
        {
            "model_name": kind,
            "original_architecture": type(hf).__name__,
            "dtype": hf.dtype,
            "device": str(hf.device),
            "n_ctx": min(hf.config.max_position_embeddings, _window(hf.config)),
            "d_vocab": hf.config.vocab_size,
            "n_layers": hf.config.num_hidden_layers,
            "n_heads": hf.config.num_attention_heads,
            "d_model": hf.config.hidden_size,
            "ungroup_grouped_query_attention": not grouped_kv,
            **facts,
        }
    )
    hooked = HookedTransformer(cfg, tokenizer=None, move_to_device=False)
    state = {name: weight.to(hf.device, hf.dtype) for name, weight in convert(hf, cfg).items()}
    hooked.load_and_process_state_dict(
        dict(state), fold_ln=False, center_writing_weights=False, center_unembed=False, fold_value_biases=False
    )
    hooked.load_state_dict(state, strict=False)  # what was just loaded was rounded to float32 on its way
    return hooked.to(hf.device, print_details=False).eval().requires_grad_(False)


def hooked_facts(config: Any) -> dict[str, Any]:
    """What TransformerLens' form of a model has, by the model's configuration, that depends on its type.

    Raises:
        ValueError: as :func:`hooked_twin`.
    """
    kind = config.model_type
    if kind not in _ARCHITECTURES:
        raise ValueError(
            f"a {kind} has no form in TransformerLens here, which engine auto-circuit and hooks beyond the fast engine "
            f"need; types that have one: {', '.join(_ARCHITECTURES)}"
        )
    return _ARCHITECTURES[kind][0](config)


def _gpt2(config: Any) -> dict[str, Any]:
    if config.scale_attn_by_inverse_layer_idx:
        raise ValueError("gpt2 with scale_attn_by_inverse_layer_idx is not supported")
    return {
        "d_head": config.n_embd // config.n_head,
        "d_mlp": config.n_inner or 4 * config.n_embd,
        "eps": config.layer_norm_epsilon,
        "act_fn": _activation(config.activation_function),
        "use_attn_scale": config.scale_attn_weights,
        "normalization_type": "LN",
    }


def _gpt_neo(config: Any) -> dict[str, Any]:
    return {
        "d_head": config.hidden_size // config.num_heads,
        "d_mlp": config.intermediate_size or 4 * config.hidden_size,
        "eps": config.layer_norm_epsilon,
        "act_fn": _activation(config.activation_function),
        "attn_types": list(config.attention_layers),
        "use_local_attn": True,
        "window_size": config.window_size,
        "use_attn_scale": False,
        "normalization_type": "LN",
    }


def _gpt_neox(config: Any) -> dict[str, Any]:
    if not getattr(config, "attention_bias", True):
        raise ValueError("gpt_neox with attention_bias=False is not supported")
    d_head = config.hidden_size // config.num_attention_heads
    rope = _rope(config)
    return {
        "d_head": d_head,
        "d_mlp": config.intermediate_size,
        "eps": config.layer_norm_eps,
        "act_fn": _activation(config.hidden_act),
        "parallel_attn_mlp": config.use_parallel_residual,
        "positional_embedding_type": "rotary",
        "rotary_adjacent_pairs": False,
        "rotary_base": rope["rope_theta"],
        "rotary_dim": round(rope.get("partial_rotary_factor", 1.0) * d_head),
        "normalization_type": "LN",
    }


def _llama(config: Any) -> dict[str, Any]:
    for switch in ("attention_bias", "mlp_bias"):
        if getattr(config, switch, False):
            raise ValueError(f"{config.model_type} with {switch}=True is not supported: its biases would be dropped")
    d_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = _rope(config)
    settings = {
        "d_head": d_head,
        "d_mlp": config.intermediate_size,
        "eps": config.rms_norm_eps,
        "act_fn": _activation(config.hidden_act),
        "n_key_value_heads": _key_value_heads(config),
        "positional_embedding_type": "rotary",
        "rotary_adjacent_pairs": False,
        "rotary_base": rope["rope_theta"],
        "rotary_dim": d_head,
        "final_rms": True,
        "gated_mlp": True,
        "normalization_type": "RMS",
    }
    if rope["rope_type"] == "llama3":
        settings |= {
            "use_NTK_by_parts_rope": True,
            "NTK_by_parts_low_freq_factor": rope["low_freq_factor"],
            "NTK_by_parts_high_freq_factor": rope["high_freq_factor"],
            "NTK_by_parts_factor": rope["factor"],
            "NTK_original_ctx_len": rope["original_max_position_embeddings"],
        }
    return settings


def _window(config: Any) -> int:
    """How far back a mistral or qwen2 attends: within that many tokens its sliding window hides nothing, and the twin,
    which has none, is the same model; so it reads no more."""
    sliding = config.model_type in _SLIDING and getattr(config, "use_sliding_window", True)
    return (sliding and config.sliding_window) or config.max_position_embeddings


def _key_value_heads(config: Any) -> int | None:
    """Number of K/V heads; None means one a head, except where TransformerLens' converter always needs a number."""
    heads: int = config.num_key_value_heads
    always = config.model_type in ("mistral", "qwen2")
    return heads if always or heads != config.num_attention_heads else None


def _rope(config: Any) -> Mapping[str, Any]:
    rope: Mapping[str, Any] = config.rope_parameters
    if rope["rope_type"] not in ("default", "llama3"):
        raise ValueError(
            f"{config.model_type} with rope type {rope['rope_type']!r} is not supported; supported: default, llama3"
        )
    return rope


def _activation(name: str) -> str:
    known = {"gelu": "gelu", "gelu_new": "gelu_new", "gelu_fast": "gelu_fast", "relu": "relu", "silu": "silu"}
    if name not in known:
        raise ValueError(f"activation function {name!r} is not supported; supported: {', '.join(known)}")
    return known[name]


_SLIDING = ("mistral", "qwen2")
_ARCHITECTURES: dict[str, tuple[Callable[[Any], dict[str, Any]], Callable[[Any, Any], dict[str, Tensor]]]] = {
    "gpt2": (_gpt2, convert_gpt2_weights),
    "gpt_neo": (_gpt_neo, convert_neo_weights),
    "gpt_neox": (_gpt_neox, convert_neox_weights),
    "llama": (_llama, convert_llama_weights),
    "mistral": (_llama, convert_mistral_weights),
    "qwen2": (_llama, convert_qwen2_weights),
}
