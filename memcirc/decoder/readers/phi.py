"""Phi: attention and MLP side by side behind one norm, partly turned heads, biases everywhere."""

from typing import Any

from memcirc.decoder.readers.llama import activation
from memcirc.decoder.readers.parts import Parts, linear, norm, rotary, rotary_context, separate
from memcirc.decoder.weights import Attention, Block, Mlp


def read(hf: Any) -> Parts:
    base = hf.model
    return Parts(
        blocks=tuple(_block(hf.config, layer) for layer in base.layers),
        final_norm=norm(base.final_layernorm),
        n_ctx=rotary_context(hf.config),
        rotaries={"all": rotary(base.rotary_emb, base.embed_tokens.weight.detach())},
    )


def _block(config: Any, layer: Any) -> Block:
    module, before = layer.self_attn, norm(layer.input_layernorm)
    return Block(
        Attention(
            norm=before,
            **separate(module.q_proj, module.k_proj, module.v_proj, module.head_dim),
            out=linear(module.dense),
            scale=float(module.scaling),
            query_norm=norm(getattr(module, "q_layernorm", None)),
            key_norm=norm(getattr(module, "k_layernorm", None)),
            rotary="all",
        ),
        Mlp(norm=before, up=linear(layer.mlp.fc1), down=linear(layer.mlp.fc2), activation=activation(config)),
    )
