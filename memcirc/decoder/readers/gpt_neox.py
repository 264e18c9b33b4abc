"""GPT-NeoX (Pythia): queries, keys and values of a head side by side, partly turned heads, a norm for each branch."""

from typing import Any

from memcirc.decoder.readers.llama import activation
from memcirc.decoder.readers.parts import Parts, fused, linear, norm, rotary, rotary_context
from memcirc.decoder.weights import Attention, Block, Mlp


def read(hf: Any) -> Parts:
    base = hf.gpt_neox
    return Parts(
        blocks=tuple(_block(hf.config, layer) for layer in base.layers),
        final_norm=norm(base.final_layer_norm),
        n_ctx=rotary_context(hf.config),
        rotaries={"all": rotary(base.rotary_emb, base.embed_in.weight.detach())},
    )


def _block(config: Any, layer: Any) -> Block:
    module, heads = layer.attention, config.num_attention_heads
    return Block(
        Attention(
            norm=norm(layer.input_layernorm),
            **fused(module.query_key_value, heads, heads, groups=heads),
            out=linear(module.dense),
            scale=float(module.scaling),
            rotary="all",
        ),
        Mlp(
            norm=norm(layer.post_attention_layernorm),
            up=linear(layer.mlp.dense_h_to_4h),
            down=linear(layer.mlp.dense_4h_to_h),
            activation=activation(config),
        ),
    )
