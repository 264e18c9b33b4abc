"""Edge scores in a model of which edges are knocked out: who stands in for them?

What is left has its own routes, which scores of the whole model do not see. With edges K knocked out (each carries its
ablation value),

    score of e = sum over alpha = 0, 1/k, ..., 1 of d objective / dk_e, all edges outside K at mask 1 - alpha, K at 0,

so that with nothing knocked out they are those of ``mask-ig``. Edges of K have scores too: what putting one back would
do.
"""

from typing import Unpack

import torch
from jaxtyping import Bool
from torch import Tensor

from memcirc.attribution.attribute import request_of
from memcirc.attribution.scores import EdgeScores
from memcirc.attribution.settings import AttributionOptions
from memcirc.config import shortened
from memcirc.engine.masked_slopes import masked_slopes
from memcirc.graph import graph_of
from memcirc.models import Model
from memcirc.pairs.record import Pairs

METHOD = "mask-ig"


def attribute_without(
    model: Model, pairs: Pairs, knocked_out: Bool[Tensor, " n_edges"], **options: Unpack[AttributionOptions]
) -> EdgeScores:
    """Edge scores where the edges of ``knocked_out`` carry their ablation value.

    Args:
        knocked_out: True for an edge that is, in the graph's order.
        options: those of :func:`memcirc.attribution.attribute.attribute`: ``steps`` (k), ``objective``, ``ablation``,
            ``reference``, ``twin``, ``reverse``, ``batch_size``; what only other methods read is passed over.

    Raises:
        ValueError: as :func:`~memcirc.attribution.attribute.attribute`; scores of each pair; another engine; no mask of
            the model's edges.
    """
    n_edges = graph_of(model).n_edges
    if not isinstance(knocked_out, Tensor) or knocked_out.dtype != torch.bool or knocked_out.shape != (n_edges,):
        raise ValueError(f"knocked_out is {shortened(knocked_out)}; a mask is needed, bool [{n_edges}]")
    if options.get("per_example", False) or options.get("engine", "native") != "native":
        raise ValueError("scores with edges knocked out are those of all pairs, computed by engine 'native'")
    request, origin = request_of(model, pairs, METHOD, options)
    left = (~knocked_out).to(request.model.weights.stream_dtype)
    points = torch.stack([left * (1 - i / request.steps) for i in range(request.steps + 1)])
    values = masked_slopes(request, points.to(model.device)).cpu()
    return EdgeScores(graph_of(model), values, {**origin, "knocked_out": int(knocked_out.sum())})
