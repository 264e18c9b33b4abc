"""Cohere: attention and MLP side by side behind one norm, adjacent pairs turn, logits are scaled."""

from typing import Any

from memcirc.decoder.readers import llama
from memcirc.decoder.readers.parts import Parts, norm, rotary, separate
from memcirc.decoder.weights import Attention, Block


def read(hf: Any) -> Parts:
    base = hf.model
    return llama.parts(
        hf,
        tuple(_block(hf.config, layer) for layer in base.layers),
        rotaries={"all": rotary(base.rotary_emb, base.embed_tokens.weight.detach(), adjacent=True)},
        logit_scale=float(hf.config.logit_scale),
    )


def _block(config: Any, layer: Any) -> Block:
    module, before = layer.self_attn, norm(layer.input_layernorm)
    return Block(
        Attention(
            norm=before,
            **separate(module.q_proj, module.k_proj, module.v_proj, module.head_dim),
            **llama.attention_facts(config, module),
        ),
        llama.gated(layer.mlp, norm=before),
    )
