"""OPT: positions are counted from two."""

from typing import Any

from memcirc.decoder.readers.llama import activation
from memcirc.decoder.readers.parts import Parts, linear, norm, separate
from memcirc.decoder.weights import Attention, Block, Mlp


def read(hf: Any) -> Parts:
    config, base = hf.config, hf.model.decoder
    return Parts(
        blocks=tuple(_block(config, layer) for layer in base.layers),
        final_norm=norm(base.final_layer_norm),
        n_ctx=config.max_position_embeddings,
        positions=base.embed_positions.weight.detach()[base.embed_positions.offset :],
    )


def _block(config: Any, layer: Any) -> Block:
    module = layer.self_attn
    return Block(
        Attention(
            norm=norm(layer.self_attn_layer_norm),
            **separate(module.q_proj, module.k_proj, module.v_proj, module.head_dim),
            out=linear(module.out_proj),
            scale=float(module.scaling),
        ),
        Mlp(
            norm=norm(layer.final_layer_norm),
            up=linear(layer.fc1),
            down=linear(layer.fc2),
            activation=activation(config),
        ),
    )
