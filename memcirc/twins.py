"""A model beside its twin: the same model without the memory, whose values ablation ``twin`` puts in place.

A twin has the model's graph, vocabulary and tokenizer, and shares its start: an earlier checkpoint, the base of a
fine-tuned model, or a model trained on the same data without the passages.
"""

import warnings
from typing import Any

import torch

from memcirc.config import shortened
from memcirc.decoder.weights import Block, Weights
from memcirc.interventions import Ablation
from memcirc.models import Model

COMPARED_POSITIONS = 64


def beside(model: Model, twin: Model | None, ablation: str = "twin") -> Model:
    """The model with the twin that an ablation needs: the one given, else the one that it has.

    Raises:
        UserWarning (a warning): the residual streams of the two do not share a basis.
        ValueError: a twin for an ablation that takes none, or none for one that does; a twin of another shape,
            vocabulary, tokenizer, precision or device, or one with the model's very weights.
    """
    if not Ablation.parse(ablation).other_model:
        if twin is not None:
            raise ValueError(f"ablation {ablation!r} takes no values of a twin; accepted with one: twin")
        return model
    twin = twin or model.twin
    if twin is None:
        raise ValueError(f"ablation {ablation!r} takes the values of a twin, and model {model.name!r} has none")
    if twin is model.twin:
        return model
    check_twin(model, twin)
    pair = model.with_twin(twin.with_twin(None))
    if pair.alignment.warning is not None:
        warnings.warn(f"{model.name!r} and its twin {twin.name!r}: {pair.alignment.warning}", stacklevel=3)
    return pair


def exchanged(model: Model) -> Model:
    """The twin, with the model as its twin."""
    assert model.twin is not None
    return model.twin.with_twin(model.with_twin(None))


def check_twin(model: Model, twin: Model) -> None:
    """Raises ValueError for a twin whose values mean nothing in the model, or are the model's own; says which part."""
    if not isinstance(twin, Model):
        raise ValueError(f"a {type(twin).__name__} is no twin; load_model gives one")
    for (what, ours), (_, theirs) in zip(_facts(model), _facts(twin), strict=True):
        if ours != theirs:
            raise ValueError(
                f"{twin.name!r} is no twin of {model.name!r}: {what} {shortened(theirs)}, not {shortened(ours)}; a "
                "twin is the same model trained without the memory"
            )
    if not _turns_alike(model.weights, twin.weights):
        raise ValueError(f"{twin.name!r} is no twin of {model.name!r}: its positions are turned by other angles")
    if twin.fingerprint == model.fingerprint:
        raise ValueError(f"twin {twin.name!r} has the weights of {model.name!r} itself: nothing was learned")


def _facts(model: Model) -> list[tuple[str, Any]]:
    """What a model and its twin have in common, besides their start."""
    weights, shape = model.weights, model.weights.graph.shape
    return [
        ("layers", shape.n_layers),
        ("heads, keys and values of a layer", (shape.n_heads, shape.n_kv_heads)),
        ("numbers of a head, of the stream, of an MLP", (weights.d_head, weights.d_model, weights.d_mlp)),
        ("graph", shape),
        ("what blocks compute", [_kind(block) for block in weights.blocks]),
        ("size of the vocabulary", len(weights.embedding)),
        ("tokenizer", model.tokenizer_fingerprint),
        ("dtype", model.dtype_name),
        ("device", str(model.device)),
    ]


def _kind(block: Block) -> tuple[Any, ...]:
    """What a block computes, besides its matrices."""
    attention, mlp = block.attention, block.mlp
    norms = [attention.norm, attention.post, attention.query_norm, *([] if mlp is None else [mlp.norm, mlp.post])]
    return (
        *(attention.window, attention.scale, attention.cap, attention.rotary, attention.multiplier),
        *(None if norm is None else (norm.centred, norm.eps) for norm in norms),
        *(() if mlp is None else (mlp.activation, mlp.multiplier)),
    )


def _turns_alike(one: Weights, other: Weights) -> bool:
    """Whether queries and keys turn by the same angles, at the first positions at least."""
    n = min(COMPARED_POSITIONS, one.n_ctx, other.n_ctx)
    return one.rotaries.keys() == other.rotaries.keys() and all(
        torch.equal(ours, theirs)
        for name in one.rotaries
        for ours, theirs in zip(one.rotaries[name].table(n), other.rotaries[name].table(n), strict=True)
    )
