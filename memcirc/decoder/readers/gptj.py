"""GPT-J: attention and MLP side by side behind one norm, adjacent pairs turn."""

from typing import Any

import torch
from torch import Tensor

from memcirc.decoder.positions import Rotary
from memcirc.decoder.readers.llama import activation
from memcirc.decoder.readers.parts import Parts, linear, norm, separate
from memcirc.decoder.weights import Attention, Block, Mlp


def read(hf: Any) -> Parts:
    if hf.config.rotary_dim is None:
        raise ValueError("gptj with rotary_dim=None is not supported; supported: a number")
    base = hf.transformer
    turning = getattr(base, "rotary_emb", base.h[0].attn)  # transformers 5.24 keeps it once for all blocks
    return Parts(
        blocks=tuple(_block(hf.config, layer) for layer in base.h),
        final_norm=norm(base.ln_f),
        n_ctx=hf.config.max_position_embeddings,
        rotaries={"all": Rotary(True, lambda length: _table(turning.embed_positions, length))},
    )


def _table(sincos: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """cos and sin of each pair, twice."""
    sin, cos = (part.repeat_interleave(2, dim=-1) for part in sincos[:length].chunk(2, dim=-1))
    return cos, sin


def _block(config: Any, layer: Any) -> Block:
    module, before, d_head = layer.attn, norm(layer.ln_1), config.hidden_size // config.num_attention_heads
    return Block(
        Attention(
            norm=before,
            **separate(module.q_proj, module.k_proj, module.v_proj, d_head),
            out=linear(module.out_proj),
            scale=float(1 / torch.tensor(d_head, dtype=torch.float64).sqrt()),
            rotary="all",
        ),
        Mlp(norm=before, up=linear(layer.mlp.fc_in), down=linear(layer.mlp.fc_out), activation=activation(config)),
    )
