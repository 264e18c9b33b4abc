"""Llama and what differs from it by a fact alone: Mistral, Qwen2, Qwen3 (norms of queries and keys), OLMo (norms
without parameters), SmolLM3 (layers without positions)."""

from typing import Any

from memcirc.decoder.readers.parts import Parts, linear, norm, rotary, rotary_context, separate
from memcirc.decoder.weights import Attention, Block, Mlp

WINDOWED_BY_CONFIG = ("mistral", "phi3", "starcoder2")


def read(hf: Any) -> Parts:
    return parts(hf, tuple(block(hf.config, layer) for layer in hf.model.layers))


def parts(hf: Any, blocks: tuple[Block, ...], **facts: Any) -> Parts:
    """What the families of Llama's layout share around their blocks."""
    base = hf.model
    shared = {
        "final_norm": norm(base.norm),
        "n_ctx": rotary_context(hf.config),
        "rotaries": {"all": rotary(base.rotary_emb, base.embed_tokens.weight.detach())},
    }
    return Parts(blocks=blocks, **{**shared, **facts})


def block(config: Any, layer: Any) -> Block:
    return Block(
        Attention(
            norm=norm(layer.input_layernorm),
            **separate(
                layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj, layer.self_attn.head_dim
            ),
            **attention_facts(config, layer.self_attn),
        ),
        gated(layer.mlp, norm=norm(layer.post_attention_layernorm)),
    )


def attention_facts(config: Any, module: Any) -> dict[str, Any]:
    """What an attention module of Llama's layout has beside its projections."""
    return {
        "out": linear(module.o_proj),
        "scale": float(module.scaling),
        "query_norm": norm(getattr(module, "q_norm", None)),
        "key_norm": norm(getattr(module, "k_norm", None)),
        "cap": getattr(module, "attn_logit_softcapping", None),
        "rotary": "all" if getattr(module, "use_rope", True) else None,
        "window": config.sliding_window
        if config.model_type in WINDOWED_BY_CONFIG
        else getattr(module, "sliding_window", None),
    }


def gated(module: Any, **facts: Any) -> Mlp:
    return Mlp(
        up=linear(module.up_proj),
        gate=linear(module.gate_proj),
        down=linear(module.down_proj),
        activation=activation(module.config),
        **facts,
    )


def activation(config: Any) -> str:
    """The name of an MLP's activation, whatever the configuration calls the field."""
    names = ("hidden_activation", "hidden_act", "activation_function", "activation")
    return str(next(getattr(config, name) for name in names if getattr(config, name, None)))
