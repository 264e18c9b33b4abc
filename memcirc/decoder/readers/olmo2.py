"""OLMo-2: no norm before a branch, one behind it; queries and keys are normed over all heads at once."""

from typing import Any

from memcirc.decoder.readers import llama
from memcirc.decoder.readers.parts import Parts, norm, separate
from memcirc.decoder.weights import Attention, Block


def read(hf: Any) -> Parts:
    return llama.parts(hf, tuple(_block(hf.config, layer) for layer in hf.model.layers))


def _block(config: Any, layer: Any) -> Block:
    module = layer.self_attn
    return Block(
        Attention(
            norm=None,
            **separate(module.q_proj, module.k_proj, module.v_proj, module.head_dim),
            **llama.attention_facts(config, module),
            joint=True,
            post=norm(layer.post_attention_layernorm),
        ),
        llama.gated(layer.mlp, norm=None, post=norm(layer.post_feedforward_layernorm)),
    )
