"""Gradients of all masks at uniform mask values, the native engine's form of EAP and mask-ig.

For L = -objective at all masks = a, base run x: dL/dm_sd = sum over positions of <dL/dx_d, p_s - c_s>
(Syed et al. 2023 at a = 0; AutoCircuit's ``mask_gradient_prune_scores`` sums several a). For each batch of pairs:

1. the shared prefix, once; the ablation values: under ``resample`` the other prompt's run;
2. for as many a at once as fit: a forward pass with a tape, the gradient of the loss at the final residual;
3. the differences p_s - c_s, and the backward pass that multiplies them with the gradients.

At a = 1 under ``resample`` every branch reads the other run exactly, so all scores are 0 but that of ``input->logits``,
which needs no pass.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.engine.ablation import ablation_values, embedding
from memcirc.engine.backward import backward
from memcirc.engine.frame import Frame, frames
from memcirc.engine.objective import logits_at_read, loss_gradient
from memcirc.engine.plain import Prefix, plain_run, prefix_pass
from memcirc.engine.sheet import Differences, Sheet
from memcirc.engine.tape import forward
from memcirc.engine.weights import Weights, weights_of
from memcirc.metrics import DIFFERENTIABLE, check_metric, reads_sequence
from memcirc.models import Model
from memcirc.pairs.record import Pairs


def mask_gradients(
    model: Model,
    pairs: Pairs,
    alphas: Sequence[float],
    objective: str,
    ablation: str = "resample",
    reference: Pairs | None = None,
    batch_size: int | None = None,
    per_example: bool = False,
) -> Tensor:
    """Sum over ``alphas`` of dL/dm at all masks = alpha, with L = -objective.

    Args:
        alphas: mask values in [0, 1]; an edge with mask 1 carries its ablation value.
        objective: any of ``metrics.DIFFERENTIABLE``, or with ``neg_`` before it.
        ablation: one of ``ABLATIONS``.
        reference: pairs that the means are taken over; default: ``pairs``.
        batch_size: pairs at a time; default: as many as keep the source outputs below 256 MiB.
        per_example: one row a pair, instead of their mean.

    Returns:
        float [n_edges] in the graph's order, or [pairs, n_edges]; at least float32.

    Raises:
        ValueError: an alpha outside [0, 1], an unknown objective or ablation, unusable pairs.
    """
    for alpha in alphas:
        if not 0 <= alpha <= 1:
            raise ValueError(f"mask value {alpha} is out of range; accepted: 0 to 1")
    check_metric(objective, DIFFERENTIABLE)
    weights = weights_of(model)
    with torch.inference_mode(False), torch.no_grad():
        values_of = ablation_values(weights, pairs, ablation, reference, "clean", reads_sequence(objective))
        totals = Totals(weights, len(pairs), per_example)
        for frame in frames(weights, pairs, batch_size, ablation == "resample", reads_sequence(objective)):
            scores = totals.for_batch(frame)
            prefix = prefix_pass(weights, frame)
            values, _ = values_of(frame, prefix)
            compared = reference_logits(weights, frame, prefix, objective)
            embed = embedding(weights, frame, "clean")
            inner = [a for a in alphas if not (a == 1 and ablation == "resample")]
            for some in chunks(inner, frame, weights):
                mixed = torch.tensor(some, dtype=weights.stream_dtype, device=weights.device)
                tape = forward(weights, frame, prefix, embed, mixed, values.totals)
                gradient = loss_gradient(weights, frame, tape.final, objective, compared)
                whole, read = sheets(weights, frame, Differences(weights, frame, values.outputs, tape.outputs), scores)
                backward(weights, frame, prefix, tape, gradient, whole, read)
            if len(inner) < len(alphas):
                gradient = loss_gradient(weights, frame, values.totals.final, objective, compared)
                difference = frame.at_read(values.outputs.embed - embed, 2)
                share = (gradient * difference).sum((1, 2, 3)) * (len(alphas) - len(inner))
                scores[..., -1, 0] += share if per_example else share.sum()
            totals.keep(frame, scores)
        return totals.mean()


class Totals:
    """Scores of a set of pairs: their running sum, or one row a pair."""

    def __init__(self, weights: Weights, n_pairs: int, per_example: bool) -> None:
        self._graph, self._n_pairs, self._per_example = weights.graph, n_pairs, per_example
        like = {"dtype": weights.stream_dtype, "device": weights.device}
        n_destinations, n_sources = len(self._graph.destinations), len(self._graph.sources)
        if per_example:
            self._rows = torch.zeros(n_pairs, self._graph.n_edges, **like)
        else:
            self._sum = torch.zeros(n_destinations, n_sources, **like)

    def for_batch(self, frame: Frame) -> Tensor:
        """The matrix to add a batch's scores to: [dst, src], or [batch, dst, src]."""
        if not self._per_example:
            return self._sum
        return self._rows.new_zeros(len(frame), len(self._graph.destinations), len(self._graph.sources))

    def keep(self, frame: Frame, scores: Tensor) -> None:
        if self._per_example:
            self._rows[frame.index] = self._graph.from_matrix(scores)

    def mean(self) -> Tensor:
        """[n_edges], or [pairs, n_edges]."""
        return self._rows if self._per_example else self._graph.from_matrix(self._sum) / self._n_pairs


def reference_logits(weights: Weights, frame: Frame, prefix: Prefix, objective: str) -> Tensor | None:
    """Logits of the clean run, where the objective compares with them: float [batch, d_vocab]."""
    if objective.removeprefix("neg_") != "kl":
        return None
    run = plain_run(weights, frame, embedding(weights, frame, "clean"), prefix)
    return logits_at_read(weights, run.residuals.final)[:, 0, 0]


def chunks(alphas: Sequence[float], frame: Frame, weights: Weights) -> Iterator[Sequence[float]]:
    """As many mask values at a time as keep the source outputs below 256 MiB."""
    rows = frame.clean.numel() * len(weights.graph.sources) * weights.d_model * weights.stream_dtype.itemsize
    size = max(1, (256 << 20) // rows)
    for first in range(0, len(alphas), size):
        yield alphas[first : first + size]


def sheets(
    weights: Weights, frame: Frame, differences: Differences, scores: Float[Tensor, "*batch dst src"]
) -> tuple[Sheet, Sheet]:
    """Sheets for destinations that read all positions, and for those at the read positions."""
    shape = weights.graph.shape
    rows = shape.n_heads + 2 * shape.n_kv_heads + 1
    whole = Sheet(differences.whole, scores, rows + 1)
    return whole, (whole if frame.reads_everything else Sheet(differences.read, scores, rows + 1))
