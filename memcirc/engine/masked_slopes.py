"""The slope of the objective in every mask, at any masks: in a model of which a part is knocked out, say.

At uniform masks these are the gradients of :mod:`memcirc.engine.mask_gradients`, which takes less for them.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.engine.batch import EngineBatch
from memcirc.engine.masked import forward
from memcirc.engine.masked_backward import backward
from memcirc.engine.objective import compared_logits, loss_gradient
from memcirc.engine.plain import plain_run
from memcirc.engine.prepared import prepare
from memcirc.engine.request import Request
from memcirc.metrics import DIFFERENTIABLE, SEQUENCE, Metric

BATCH = 16


def masked_slopes(request: Request, masks: Float[Tensor, "points n_edges"]) -> Float[Tensor, " n_edges"]:
    """d objective / dk of every edge, summed over the given points and averaged over the pairs.

    Args:
        masks: k of every edge: 1 where it carries its source's own output, 0 where it carries its ablation value.

    Raises:
        ValueError: an objective that is not differentiable, or unusable pairs.
    """
    weights, objective = request.model.weights, Metric.parse(request.objective, DIFFERENTIABLE)
    size, sequence = request.batch_size or BATCH, objective.reads == SEQUENCE
    with torch.inference_mode(False), torch.no_grad():
        prepared = prepare(request.model, request.pairs, request.settings, request.reference, size, sequence)
        total = torch.zeros_like(masks[0])
        for i in range(len(prepared.slots)):
            ready = prepared.ready(i)
            batch, reference = EngineBatch(weights, ready.frame, ready.prefix, prepared.workspace), None
            if objective.compares:
                reference = compared_logits(weights, plain_run(batch, ready.embed).residuals.final)
            for mask in masks:
                tape = forward(batch, ready.embed, ready.values, weights.graph.to_matrix(mask[None]))
                gradient = -loss_gradient(weights, ready.frame, tape.final, objective, reference)
                total += weights.graph.from_matrix(backward(batch, tape, gradient).masks)[0]
        return total / len(request.pairs)
