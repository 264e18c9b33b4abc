"""BLOOM: ALiBi, a norm of the embeddings; queries, keys and values of a head side by side."""

from typing import Any

import torch
from torch import Tensor
from transformers.models.bloom.modeling_bloom import build_alibi_tensor

from memcirc.decoder.positions import Alibi
from memcirc.decoder.readers.parts import UNLIMITED, Parts, fused, linear, norm
from memcirc.decoder.weights import Attention, Block, Mlp


def read(hf: Any) -> Parts:
    base = hf.transformer
    like = base.word_embeddings.weight.detach()

    def table(length: int) -> Tensor:
        seen = torch.ones(1, length, device=like.device)
        return build_alibi_tensor(seen, hf.config.n_head, like.dtype)[:, 0]

    return Parts(
        blocks=tuple(_block(hf.config, layer) for layer in base.h),
        final_norm=norm(base.ln_f),
        n_ctx=UNLIMITED,
        embedding_norm=norm(base.word_embeddings_layernorm),
        alibi=Alibi(table),
    )


def _block(config: Any, layer: Any) -> Block:
    module, heads = layer.self_attention, config.n_head
    return Block(
        Attention(
            norm=norm(layer.input_layernorm),
            **fused(module.query_key_value, heads, heads, groups=heads),
            out=linear(module.dense),
            scale=float(module.inv_norm_factor),
        ),
        Mlp(
            norm=norm(layer.post_attention_layernorm),
            up=linear(layer.mlp.dense_h_to_4h),
            down=linear(layer.mlp.dense_4h_to_h),
            activation="gelu_new",
        ),
    )
