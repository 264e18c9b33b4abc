"""Granite: Llama with constants on embeddings, branches and logits."""

from dataclasses import replace
from typing import Any

from memcirc.decoder.readers import llama
from memcirc.decoder.readers.parts import Parts
from memcirc.decoder.weights import Block


def read(hf: Any) -> Parts:
    config = hf.config
    return llama.parts(
        hf,
        tuple(_block(config, layer) for layer in hf.model.layers),
        embedding_scale=float(config.embedding_multiplier),
        logit_scale=1 / float(config.logits_scaling),
    )


def _block(config: Any, layer: Any) -> Block:
    block, multiplier = llama.block(config, layer), float(config.residual_multiplier)
    assert block.mlp is not None
    return Block(replace(block.attention, multiplier=multiplier), replace(block.mlp, multiplier=multiplier))
