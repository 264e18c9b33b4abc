"""Phi-3: Llama with queries, keys and values in one matrix, and the gate in one with what it gates."""

from typing import Any

from memcirc.decoder.readers import llama
from memcirc.decoder.readers.parts import Parts, fused, linear, norm
from memcirc.decoder.weights import Attention, Block, Mlp


def read(hf: Any) -> Parts:
    return llama.parts(hf, tuple(_block(hf.config, layer) for layer in hf.model.layers))


def _block(config: Any, layer: Any) -> Block:
    module, both = layer.self_attn, linear(layer.mlp.gate_up_proj)
    half = both.width // 2
    return Block(
        Attention(
            norm=norm(layer.input_layernorm),
            **fused(module.qkv_proj, config.num_attention_heads, module.num_key_value_heads, groups=1),
            **llama.attention_facts(config, module),
        ),
        Mlp(
            norm=norm(layer.post_attention_layernorm),
            up=both.columns(half, 2 * half),
            gate=both.columns(0, half),
            down=linear(layer.mlp.down_proj),
            activation=llama.activation(config),
        ),
    )
