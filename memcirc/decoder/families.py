"""The model types that are computed, and what each is given its configuration. This table is the one place that names
them; it imports nothing, so that a graph can be had of a configuration alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """What a model type is, given its configuration.

    Attributes:
        reader: ``module:function`` in :mod:`memcirc.decoder.readers`: a transformers model to its
            :class:`memcirc.decoder.readers.parts.Parts`.
        parallel: whether attention and MLP read the same residual.
        kv_heads: how many keys and values it has.
        needs: settings that are computed in one form alone, with that form.
    """

    reader: str
    parallel: Callable[[Any], bool] = lambda config: False
    kv_heads: Callable[[Any], int] = lambda config: (
        getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    )
    needs: Callable[[Any], dict[str, Any]] = lambda config: {}


def _falcon_kv_heads(config: Any) -> int:
    if config.multi_query and not config.new_decoder_architecture:
        return 1
    return int(config.num_kv_heads if config.new_decoder_architecture else config.num_attention_heads)


FAMILIES = {
    "bloom": Family("bloom:read", needs=lambda config: {"apply_residual_connection_post_layernorm": False}),
    "cohere": Family("cohere:read", lambda config: True),
    "falcon": Family(
        "falcon:read", lambda config: config.parallel_attn or config.new_decoder_architecture, _falcon_kv_heads
    ),
    "gemma": Family("gemma:read"),
    "gemma2": Family("gemma:read"),
    "gemma3_text": Family("gemma:read", needs=lambda config: {"use_bidirectional_attention": False}),
    "gpt2": Family("gpt2:read", needs=lambda config: {"add_cross_attention": False}),
    "gpt_neo": Family("gpt_neo:read"),
    "gpt_neox": Family("gpt_neox:read", lambda config: config.use_parallel_residual),
    "gptj": Family("gptj:read", lambda config: True),
    "granite": Family("granite:read"),
    "llama": Family("llama:read"),
    "mistral": Family("llama:read"),
    "olmo": Family("llama:read", needs=lambda config: {"clip_qkv": None}),
    "olmo2": Family("olmo2:read"),
    "opt": Family(
        "opt:read",
        needs=lambda config: {"do_layer_norm_before": True, "word_embed_proj_dim": config.hidden_size},
    ),
    "phi": Family("phi:read", lambda config: True),
    "phi3": Family("phi3:read"),
    "qwen2": Family("llama:read"),
    "qwen3": Family("llama:read"),
    "smollm3": Family("llama:read"),
    "stablelm": Family("stablelm:read", lambda config: config.use_parallel_residual),
    "starcoder2": Family("starcoder2:read"),
}


def supported_types() -> tuple[str, ...]:
    """The model types that run, as transformers names them."""
    return tuple(FAMILIES)


def family_of(config: Any) -> Family:
    """The family of a transformers configuration.

    Raises:
        ValueError: a model type that is not computed, or a setting of it; the message says what is missing, or which
            types are.
    """
    kind = config.model_type
    if kind in FAMILIES:
        for name, value in FAMILIES[kind].needs(config).items():
            found = getattr(config, name, value)
            if found != value:
                raise ValueError(f"{kind} with {name}={found!r} is not supported; supported: {value!r}")
        return FAMILIES[kind]
    supported = f"supported: {', '.join(FAMILIES)}"
    missing = _missing(config)
    raise ValueError(f"architecture {kind!r} is not supported{f': {missing}' if missing else ''}; {supported}")


def context_of(config: Any) -> int | None:
    """Positions that a configuration names, of which its reader may allow fewer; None where it sets no end."""
    named: int | None = getattr(config, "max_position_embeddings", None)
    return named


def check(config: Any) -> None:
    """Raises ValueError as :func:`family_of`."""
    family_of(config)


def _missing(config: Any) -> str:
    """What a model has that is not computed here, as far as its configuration says; empty where it does not say."""
    if getattr(config, "is_encoder_decoder", False):
        return "an encoder beside the decoder is not computed"
    for name in ("num_local_experts", "num_experts", "n_routed_experts", "moe_intermediate_size"):
        if getattr(config, name, None):
            return f"experts ({name}) are not computed"
    for name in ("state_size", "ssm_state_size", "mamba_d_state", "linear_num_value_heads"):
        if getattr(config, name, None):
            return f"state-space layers ({name}) are not computed"
    if hasattr(config, "text_config"):
        return "images or audio beside the text are not computed"
    return ""
