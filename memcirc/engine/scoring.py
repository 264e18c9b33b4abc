"""What all attribution methods share: batches with their ablation values, passes over them, and the sum of scores.

A method is a loop over :class:`ScoredBatch`: it asks for forward passes at uniform masks, and adds each pass's
gradients times the differences p_s - c_s to the scores. Memory is that of one batch, whatever the number of pairs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.weights import Weights
from memcirc.decoder.workspace import Workspace
from memcirc.engine.ablation import ablation_values
from memcirc.engine.backward import backward
from memcirc.engine.batch import EngineBatch
from memcirc.engine.frame import Frame, batch_bytes, frames, pattern_bytes
from memcirc.engine.objective import compared_logits, loss_gradient
from memcirc.engine.outputs import Outputs
from memcirc.engine.plain import plain_run, prefix_pass
from memcirc.engine.request import Request
from memcirc.engine.sheet import Differences, Sheet
from memcirc.engine.tape import Replaced, Tape, forward
from memcirc.engine.values import Values, embedding
from memcirc.metrics import DIFFERENTIABLE, SEQUENCE, Metric


@dataclass(frozen=True, eq=False)
class ScoredBatch:
    """One batch on the clean prompts. ``scores`` [dst, src] or [batch, dst, src] is what its passes add to;
    ``compared`` are the clean logits where the objective compares with them."""

    batch: EngineBatch
    values: Values
    embed: Float[Tensor, "batch 1 pos d_model"]
    objective: Metric
    compared: Float[Tensor, "batch d_vocab"] | None
    scores: Float[Tensor, "*batch dst src"]

    @property
    def weights(self) -> Weights:
        return self.batch.weights

    @property
    def frame(self) -> Frame:
        return self.batch.frame

    def chunks(self, alphas: Sequence[float]) -> Iterator[Tensor]:
        """As many variants at a time as keep source outputs and attention patterns below :func:`batch_bytes`."""
        weights, width = self.weights, self.frame.clean.shape[1]
        sources = width * len(weights.graph.sources) * weights.d_model * weights.stream_dtype.itemsize
        patterns = pattern_bytes(weights, width, self.frame.prefix.shape[1] + width)
        one = len(self.frame) * (sources + patterns)
        everything = torch.tensor(alphas, dtype=weights.stream_dtype, device=weights.device)
        yield from everything.split(max(1, batch_bytes(weights.device) // one)) if len(alphas) else ()

    def forward(self, alphas: Tensor, embed: Tensor | None = None, replaced: Replaced | None = None) -> Tape:
        """A pass at all masks = alpha; the tape lasts until the next one."""
        embed = self.embed if embed is None else embed
        return forward(self.batch, embed, alphas, self.values.totals, replaced)

    def plain_outputs(self) -> Outputs:
        """Source outputs of the clean run."""
        return plain_run(self.batch, self.embed).outputs

    def loss_gradient(self, final: Tensor, relevance: bool = False) -> Tensor:
        return loss_gradient(self.weights, self.frame, final, self.objective, self.compared, relevance)

    def differences(self, outputs: Outputs) -> Differences:
        """p_s - c_s for the given c; they last until the next call."""
        return Differences(self.batch, self.values.outputs, outputs)

    def add(
        self, tape: Tape, differences: Differences, relevance: bool = False, replaced: Replaced | None = None
    ) -> None:
        """Add <gradient at x_d, difference of s> for all edges, summed over the tape's variants."""
        whole = self._sheet("gradients", differences, tape, at_read=False)
        read = whole if self.frame.reads_everything else self._sheet("read gradients", differences, tape, at_read=True)
        gradient = self.loss_gradient(tape.final, relevance)
        backward(self.batch, tape, gradient, (whole, read), relevance, replaced)

    def _sheet(self, name: str, differences: Differences, tape: Tape, at_read: bool) -> Sheet:
        shape, weights = self.weights.graph.shape, self.weights
        rows = shape.n_heads + 2 * shape.n_kv_heads + 2
        steps = (self.frame.read if at_read else self.frame.clean).shape[1]
        size = (rows, len(self.frame), tape.own.shape[1], steps, weights.d_model)
        buffer = self.batch.workspace.take(name, size, weights.stream_dtype)
        return Sheet(differences, at_read, self.scores, buffer)


class Scoring:
    """An attribution in the making: iterate over its batches, add to their scores, take the :meth:`mean`.

    Raises:
        ValueError: an objective that is not differentiable, an unknown ablation, unusable pairs or reference.
    """

    def __init__(self, request: Request) -> None:
        self.weights, self.pairs = request.model.weights, request.pairs
        self.ablation = request.settings.ablated
        self.objective = Metric.parse(request.objective, DIFFERENTIABLE)
        self._batch_size, self._per_example = request.batch_size, request.per_example
        self._workspace = Workspace(self.weights.device)
        self._sequence = self.objective.reads == SEQUENCE
        self._values_of = ablation_values(
            request.model, self.pairs, request.settings, request.reference, self._sequence, self._workspace
        )
        graph = self.weights.graph
        n_rows = len(self.pairs) if self._per_example else 0
        none = torch.zeros(0, dtype=self.weights.stream_dtype, device=self.weights.device)
        self._sum = none.new_zeros(len(graph.destinations), len(graph.sources))
        self._rows = none.new_zeros(n_rows, graph.n_edges)

    def __iter__(self) -> Iterator[ScoredBatch]:
        weights = self.weights
        for frame in frames(weights, self.pairs, self._batch_size, self.ablation.keeps_prefix, self._sequence):
            scores = self._sum.new_zeros(len(frame), *self._sum.shape) if self._per_example else self._sum
            prefix = prefix_pass(weights, frame, self._workspace, self._workspace)
            batch = EngineBatch(weights, frame, prefix, self._workspace)
            values, _ = self._values_of(batch)
            embed = embedding(weights, frame, "clean")
            compared = None
            if self.objective.compares:
                run = plain_run(batch, embed)
                compared = compared_logits(weights, run.residuals.final)
            yield ScoredBatch(batch, values, embed, self.objective, compared, scores)
            if self._per_example:
                self._rows[frame.index] = weights.graph.from_matrix(scores)

    def mean(self) -> Tensor:
        """Mean over the pairs, float [n_edges]; with ``per_example`` each pair's own, [pairs, n_edges]."""
        if self._per_example:
            return self._rows
        return self.weights.graph.from_matrix(self._sum) / len(self.pairs)
