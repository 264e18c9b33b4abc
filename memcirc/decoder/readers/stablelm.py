"""StableLM: Llama with LayerNorm, partly turned heads, and where it is asked for norms of each head's own, or attention
and MLP side by side."""

from typing import Any

import torch

from memcirc.decoder.norm import Norm
from memcirc.decoder.readers import llama
from memcirc.decoder.readers.parts import Parts, norm, separate
from memcirc.decoder.weights import Attention, Block


def read(hf: Any) -> Parts:
    return llama.parts(hf, tuple(_block(hf.config, layer) for layer in hf.model.layers))


def _block(config: Any, layer: Any) -> Block:
    module, before = layer.self_attn, norm(layer.input_layernorm)
    facts = llama.attention_facts(config, module)
    if config.qk_layernorm:
        facts |= {"query_norm": _by_head(module.q_layernorm), "key_norm": _by_head(module.k_layernorm)}
    return Block(
        Attention(norm=before, **separate(module.q_proj, module.k_proj, module.v_proj, module.head_dim), **facts),
        llama.gated(layer.mlp, norm=before if config.use_parallel_residual else norm(layer.post_attention_layernorm)),
    )


def _by_head(module: Any) -> Norm:
    each = [norm(part) for part in module.norms]
    gains = torch.stack([part.gain for part in each if part is not None and part.gain is not None])
    return Norm(True, float(module.norms[0].eps), gains)
