"""StarCoder2: Llama's attention behind LayerNorm, and an MLP without a gate."""

from typing import Any

from memcirc.decoder.readers import llama
from memcirc.decoder.readers.parts import Parts, linear, norm, separate
from memcirc.decoder.weights import Attention, Block, Mlp


def read(hf: Any) -> Parts:
    return llama.parts(hf, tuple(_block(hf.config, layer) for layer in hf.model.layers))


def _block(config: Any, layer: Any) -> Block:
    module = layer.self_attn
    return Block(
        Attention(
            norm=norm(layer.input_layernorm),
            **separate(module.q_proj, module.k_proj, module.v_proj, module.head_dim),
            **llama.attention_facts(config, module),
        ),
        Mlp(
            norm=norm(layer.post_attention_layernorm),
            up=linear(layer.mlp.c_fc),
            down=linear(layer.mlp.c_proj),
            activation=llama.activation(config),
        ),
    )
