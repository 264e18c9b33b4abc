"""Gemma, Gemma-2 and Gemma-3: gains are stored as what is added to one, and from the second on each branch has a norm
behind it too."""

from typing import Any

import torch

from memcirc.decoder.norm import Norm
from memcirc.decoder.readers import llama
from memcirc.decoder.readers.parts import Parts, norm, rotary, separate
from memcirc.decoder.weights import Attention, Block


def read(hf: Any) -> Parts:
    base = hf.model
    like = base.embed_tokens.weight.detach()
    rotaries: dict[str, dict[str, Any]] = {"all": {}}
    if hf.config.model_type == "gemma3_text":
        rotaries = {name: {"layer_type": name} for name in sorted(set(hf.config.layer_types))}
    return llama.parts(
        hf,
        tuple(_block(hf.config, layer) for layer in base.layers),
        final_norm=_norm(base.norm),
        embedding_scale=float(base.embed_tokens.embed_scale.to(like.dtype)),
        logit_cap=getattr(hf.config, "final_logit_softcapping", None),
        rotaries={name: rotary(base.rotary_emb, like, **which) for name, which in rotaries.items()},
    )


def _block(config: Any, layer: Any) -> Block:
    module, sandwich = layer.self_attn, hasattr(layer, "pre_feedforward_layernorm")
    facts = llama.attention_facts(config, module)
    if config.model_type == "gemma3_text":
        facts |= {"query_norm": _norm(module.q_norm), "key_norm": _norm(module.k_norm), "rotary": module.layer_type}
        facts["cap"] = None  # transformers' Gemma-3 does not read what its configuration says of one
    return Block(
        Attention(
            norm=_norm(layer.input_layernorm),
            **separate(module.q_proj, module.k_proj, module.v_proj, module.head_dim),
            **facts,
            post=_norm(layer.post_attention_layernorm) if sandwich else None,
        ),
        llama.gated(
            layer.mlp,
            norm=_norm(layer.pre_feedforward_layernorm if sandwich else layer.post_attention_layernorm),
            post=_norm(layer.post_feedforward_layernorm) if sandwich else None,
        ),
    )


def _norm(module: Any) -> Norm:
    stored = norm(module)
    assert stored is not None
    assert stored.gain is not None
    exact = stored.gain.to(torch.promote_types(stored.gain.dtype, torch.float32))
    return Norm(False, stored.eps, 1 + exact)
