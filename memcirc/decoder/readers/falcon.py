"""Falcon, with rotary embeddings or ALiBi, with one key and value for all heads, for a group, or for each."""

from typing import Any

import torch
from torch import Tensor
from transformers.models.falcon.modeling_falcon import build_alibi_tensor

from memcirc.decoder.norm import Norm
from memcirc.decoder.positions import Alibi
from memcirc.decoder.readers.llama import activation
from memcirc.decoder.readers.parts import Parts, fused, linear, norm, rotary, rotary_context
from memcirc.decoder.weights import Attention, Block, Mlp


def read(hf: Any) -> Parts:
    config, base = hf.config, hf.transformer
    if config.alibi and config._attn_implementation == "eager":
        raise ValueError(
            "falcon with alibi gets its biases twice from transformers' eager attention; load it with sdpa"
        )
    like = base.word_embeddings.weight.detach()

    def table(length: int) -> Tensor:
        seen = torch.ones(1, length, device=like.device, dtype=torch.int64)
        biases = build_alibi_tensor(seen, config.num_attention_heads, like.dtype)[:, 0]
        return biases * base.h[0].self_attention.inv_norm_factor

    return Parts(
        blocks=tuple(_block(config, layer) for layer in base.h),
        final_norm=norm(base.ln_f),
        n_ctx=rotary_context(config),
        rotaries={} if config.alibi else {"all": rotary(base.rotary_emb, like)},
        alibi=Alibi(table) if config.alibi else None,
    )


def _block(config: Any, layer: Any) -> Block:
    module, heads = layer.self_attention, config.num_attention_heads
    before, before_mlp = _norms(config, layer)
    groups = 1 if config.multi_query and not config.new_decoder_architecture else module.num_kv_heads
    return Block(
        Attention(
            norm=before,
            **fused(module.query_key_value, heads, module.num_kv_heads, groups),
            out=linear(module.dense),
            scale=float(module.inv_norm_factor),
            rotary=None if config.alibi else "all",
        ),
        Mlp(
            norm=before_mlp,
            up=linear(layer.mlp.dense_h_to_4h),
            down=linear(layer.mlp.dense_4h_to_h),
            activation=activation(config),
        ),
    )


def _norms(config: Any, layer: Any) -> tuple[Norm | None, Norm | None]:
    """Before the attention and before the MLP; they may be one."""
    if hasattr(layer, "ln_attn"):
        return norm(layer.ln_attn), norm(layer.ln_mlp)
    before = norm(layer.input_layernorm)
    beside = config.parallel_attn or config.new_decoder_architecture
    return before, before if beside else norm(layer.post_attention_layernorm)
