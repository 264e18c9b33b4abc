"""A transformers model as plain weights."""

from importlib import import_module
from typing import Any

from memcirc.decoder.activations import ACTIVATIONS
from memcirc.decoder.families import family_of
from memcirc.decoder.readers.parts import Parts, linear
from memcirc.decoder.weights import Weights
from memcirc.graph import Graph, GraphShape


def read_transformers(hf: Any, grouped_kv: bool) -> Weights:
    """The weights of a loaded ``PreTrainedModel``, as views of its parameters wherever their layout allows.

    Args:
        grouped_kv: one key and value input for each group of heads, in place of one for each head.

    Raises:
        ValueError: a model type, or a part of the model, that is not computed; the message names it.
    """
    family = family_of(hf.config)
    module, function = family.reader.split(":")
    parts: Parts = getattr(import_module(f"memcirc.decoder.readers.{module}"), function)(hf)
    _check(hf.config.model_type, parts)
    first = parts.blocks[0].attention
    n_heads = len(first.query)
    shape = GraphShape(
        n_layers=len(parts.blocks),
        n_heads=n_heads,
        n_kv_heads=len(first.key) if grouped_kv else n_heads,
        parallel=bool(family.parallel(hf.config)),
    )
    return Weights(
        graph=Graph(shape),
        embedding=hf.get_input_embeddings().weight.detach(),
        unembed=linear(hf.get_output_embeddings()),
        d_head=first.query.weight.shape[1],
        **{name: getattr(parts, name) for name in Parts.__dataclass_fields__},
    )


def _check(kind: str, parts: Parts) -> None:
    """Raises ValueError for what the records can hold but the passes do not compute."""
    if not parts.blocks:
        raise ValueError(f"{kind} without layers is not supported")
    for block in parts.blocks:
        if block.mlp is not None and block.mlp.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation function {block.mlp.activation!r} is not supported; supported: {', '.join(ACTIVATIONS)}"
            )
        if block.attention.post is not None and block.attention.out.bias is not None:
            raise ValueError(f"{kind} with an output bias under a norm behind the attention is not supported")
