"""Refuse pairs, scores and circuits of another model: a circuit is a claim about one model, and token ids are those of
one tokenizer."""

from collections.abc import Mapping
from typing import Any

from memcirc.graph import Graph, graph_of
from memcirc.models import Model


def check_fits(model: Model, graph: Graph, header: Mapping[str, Any], what: str) -> None:
    """:func:`check_origin`, and that a circuit or scores are of the model's graph.

    Raises:
        ValueError: another graph, another tokenizer, other weights; names both models.
    """
    own = graph_of(model)
    if graph != own:
        raise ValueError(
            f"{what} of model {header.get('model', 'not stated')}, whose graph has {graph.n_edges} edges "
            f"({graph.shape.n_layers} layers of {graph.shape.n_heads} heads); the model at hand is {model.name}, with "
            f"{own.n_edges} edges ({own.shape.n_layers} layers of {own.shape.n_heads} heads)"
        )
    check_origin(model, header, what)


def check_origin(model: Model, header: Mapping[str, Any], what: str) -> None:
    """Compare what pairs, scores or a circuit state of their model with the model at hand, as far as they state it.

    Raises:
        ValueError: another tokenizer, or other weights of it or of its twin (the same model in another precision
            passes).
    """
    tokenizer = header.get("tokenizer_fingerprint")
    if tokenizer and model.tokenizer_fingerprint and tokenizer != model.tokenizer_fingerprint:
        raise ValueError(
            f"{what} of tokenizer {tokenizer} ({header.get('model')}), the model at hand has "
            f"{model.tokenizer_fingerprint} ({model.name}): their token ids are not the same"
        )
    twin = header.get("twin_fingerprint")
    if twin and model.twin is not None and header.get("dtype") == model.dtype_name and twin != model.twin.fingerprint:
        raise ValueError(
            f"{what} found against twin {twin} ({header.get('twin')}), the twin at hand is {model.twin.fingerprint} "
            f"({model.twin.name})"
        )
    weights, dtype = header.get("model_fingerprint"), header.get("dtype")
    if weights and dtype == model.dtype_name and weights != model.fingerprint:
        raise ValueError(
            f"{what} of model {weights} ({header.get('model')}), the model at hand is {model.fingerprint} "
            f"({model.name})"
        )
