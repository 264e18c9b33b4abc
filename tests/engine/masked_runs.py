"""All pairs of a set as one batch that runs under masks, for the tests of the masked passes."""

import torch
from torch import Tensor

from memcirc.decoder.block import final_normed
from memcirc.engine import Prepared, prepare
from memcirc.engine.batch import EngineBatch
from memcirc.engine.circuits import Ready
from memcirc.engine.masked import MaskedTape, forward
from memcirc.engine.masked_backward import backward
from memcirc.engine.objective import all_logits, loss_gradient, objective_values
from memcirc.graph import graph_of
from memcirc.interventions import RunSettings
from memcirc.metrics import Metric
from memcirc.models import Model
from memcirc.pairs.record import Pairs

LOGIT_DIFF = Metric.parse("logit_diff")


class Masked:
    """All pairs as one batch, run under masks."""

    def __init__(self, model: Model, pairs: Pairs, ablation: str = "resample") -> None:
        self.model, self.graph = model, graph_of(model)
        self.prepared: Prepared = prepare(model, pairs, RunSettings("tree", ablation), batch_size=len(pairs))
        (self.ready,) = (self.prepared.ready(i) for i in range(len(self.prepared.slots)))

    @property
    def batch(self) -> EngineBatch:
        ready: Ready = self.ready
        return EngineBatch(self.prepared.weights, ready.frame, ready.prefix, self.prepared.workspace)

    def run(self, masks: Tensor) -> MaskedTape:
        """masks [draw, n_edges]; a draw for each pair is in the order of the pairs."""
        masks = masks if len(masks) == 1 else masks[self.ready.frame.index]
        return forward(self.batch, self.ready.embed, self.ready.values, self.graph.to_matrix(masks))

    def logits(self, masks: Tensor) -> Tensor:
        weights = self.prepared.weights
        logits = all_logits(weights, final_normed(weights, self.run(masks).final))[:, 0, 0]
        return torch.empty_like(logits).index_copy_(0, self.ready.frame.index, logits)

    def objective(self, masks: Tensor) -> Tensor:
        final = self.run(masks).final
        return objective_values(self.prepared.weights, self.ready.frame, final, LOGIT_DIFF, None).sum()

    def gradient(self, masks: Tensor) -> Tensor:
        """dL/dk, L = -objective, summed over the pairs that share a draw."""
        tape = self.run(masks)
        at_final = loss_gradient(self.prepared.weights, self.ready.frame, tape.final, LOGIT_DIFF, None)
        found = self.graph.from_matrix(backward(self.batch, tape, at_final).masks)
        return found if len(masks) == 1 else torch.empty_like(found).index_copy_(0, self.ready.frame.index, found)

    def slope(self, masks: Tensor, direction: Tensor, step: float = 1e-6) -> Tensor:
        """How fast L = -objective changes along a direction, by finite differences."""
        return (self.objective(masks - step * direction) - self.objective(masks + step * direction)) / (2 * step)


def drawn(masked: Masked, n_draws: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n_draws, masked.graph.n_edges, generator=generator, dtype=torch.float64)
