"""GPT-2."""

from typing import Any

from memcirc.decoder.readers.llama import activation
from memcirc.decoder.readers.parts import Parts, fused, linear, norm
from memcirc.decoder.weights import Attention, Block, Mlp


def read(hf: Any) -> Parts:
    base = hf.transformer
    return Parts(
        blocks=tuple(_block(hf.config, layer, number) for number, layer in enumerate(base.h)),
        final_norm=norm(base.ln_f),
        n_ctx=hf.config.max_position_embeddings,
        positions=base.wpe.weight.detach(),
    )


def _block(config: Any, layer: Any, number: int) -> Block:
    heads = config.num_attention_heads
    scale = (config.hidden_size // heads) ** -0.5 if config.scale_attn_weights else 1.0
    return Block(
        Attention(
            norm=norm(layer.ln_1),
            **fused(layer.attn.c_attn, heads, heads, groups=1),
            out=linear(layer.attn.c_proj),
            scale=scale / (number + 1) if config.scale_attn_by_inverse_layer_idx else scale,
        ),
        Mlp(
            norm=norm(layer.ln_2),
            up=linear(layer.mlp.c_fc),
            down=linear(layer.mlp.c_proj),
            activation=activation(config),
        ),
    )
