"""GPT-Neo: scores are not scaled, and every other layer sees a window."""

from typing import Any

from memcirc.decoder.readers.llama import activation
from memcirc.decoder.readers.parts import Parts, linear, norm, separate
from memcirc.decoder.weights import Attention, Block, Mlp


def read(hf: Any) -> Parts:
    base = hf.transformer
    return Parts(
        blocks=tuple(
            _block(hf.config, layer, kind) for layer, kind in zip(base.h, hf.config.attention_layers, strict=True)
        ),
        final_norm=norm(base.ln_f),
        n_ctx=hf.config.max_position_embeddings,
        positions=base.wpe.weight.detach(),
    )


def _block(config: Any, layer: Any, kind: str) -> Block:
    module = layer.attn.attention
    return Block(
        Attention(
            norm=norm(layer.ln_1),
            **separate(module.q_proj, module.k_proj, module.v_proj, config.hidden_size // config.num_heads),
            out=linear(module.out_proj),
            scale=1.0,
            window=config.window_size if kind == "local" else None,
        ),
        Mlp(
            norm=norm(layer.ln_2),
            up=linear(layer.mlp.c_fc),
            down=linear(layer.mlp.c_proj),
            activation=activation(config),
        ),
    )
