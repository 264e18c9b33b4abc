"""How far masked runs are from the model itself, and how that changes with every mask.

The loss of a pair is the squared difference between the objective of the masked run and the model's own, or the
objective itself where that compares with the model (``kl``). It is divided by the mean over pairs of the loss with no
edge at work, so that a data set's loss is 0 where the circuit does what the model does, and 1 where nothing is left.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.weights import Weights
from memcirc.engine.batch import EngineBatch
from memcirc.engine.circuits import Ready
from memcirc.engine.frame import Frame
from memcirc.engine.masked import forward
from memcirc.engine.masked_backward import backward
from memcirc.engine.objective import compared_logits, objective_values
from memcirc.engine.plain import plain_run
from memcirc.engine.prepared import prepare
from memcirc.engine.request import Request
from memcirc.metrics import DIFFERENTIABLE, SEQUENCE, Metric


@dataclass(frozen=True, eq=False)
class Itself:
    """What the model itself says of a batch's pairs: its objective, and its logits where the objective compares."""

    objective: Float[Tensor, " batch"]
    logits: Float[Tensor, "batch d_vocab"] | None


@dataclass(frozen=True, eq=False)
class Distance:
    """The loss, not yet divided, of runs given by their final residual."""

    weights: Weights
    objective: Metric

    @classmethod
    def of(cls, weights: Weights, objective: str) -> "Distance":
        """That of a differentiable objective, whichever sign it has; ValueError for another."""
        return cls(weights, replace(Metric.parse(objective, DIFFERENTIABLE), sign=1))

    def model(self, batch: EngineBatch, embed: Tensor) -> Itself:
        """The model's own run."""
        final = plain_run(batch, embed).residuals.final
        logits = compared_logits(self.weights, final) if self.objective.compares else None
        return Itself(objective_values(self.weights, batch.frame, final, self.objective, logits)[0], logits)

    def __call__(
        self, frame: Frame, final: Float[Tensor, "batch 1 step d_model"], model: Itself
    ) -> Float[Tensor, " batch"]:
        values = objective_values(self.weights, frame, final, self.objective, model.logits)[0]
        return values if self.objective.compares else (values - model.objective).square()

    def slope(self, frame: Frame, final: Tensor, model: Itself) -> tuple[Float[Tensor, " batch"], Tensor]:
        """The loss of each pair, and its gradient at the final residual."""
        with torch.enable_grad():
            final = final.detach().requires_grad_(True)
            losses = self(frame, final, model)
            (gradient,) = torch.autograd.grad(losses.sum(), final)
        return losses.detach(), gradient


class Fidelity:
    """Pairs made ready for many masked runs.

    Raises:
        ValueError: an objective that is not differentiable, unusable pairs, or an objective that is the same with no
            edge at work as with all.
    """

    def __init__(self, request: Request, batch_size: int) -> None:
        self._weights, self._distance = request.model.weights, Distance.of(request.model.weights, request.objective)
        sequence = self._distance.objective.reads == SEQUENCE
        self._prepared = prepare(
            request.model, request.pairs, request.settings, request.reference, batch_size, sequence
        )
        self.n_batches = len(self._prepared.slots)
        self._models: list[Itself] = []
        total = 0.0
        for i in range(self.n_batches):
            ready = self._prepared.ready(i)
            self._models.append(self._distance.model(self._batch(ready), ready.embed))
            nothing = ready.values.totals.final.expand(len(ready.frame), -1, ready.frame.read.shape[1], -1)
            total += float(self._distance(ready.frame, nothing, self._models[i]).sum())
        self._unit = total / len(request.pairs)
        if self._unit == 0:
            raise ValueError(
                f"objective {request.objective!r} is the same with no edge at work as with all; no mask can be learned"
            )

    def size(self, i: int) -> int:
        """Pairs in a batch."""
        return len(self._prepared.slots[i].members)

    def slope(self, i: int, masks: Float[Tensor, "draw n_edges"]) -> tuple[float, Float[Tensor, "draw n_edges"]]:
        """The mean loss of a batch, and its gradient at each draw's masks: one for all pairs, or one for each."""
        ready = self._prepared.ready(i)
        batch, frame, graph = self._batch(ready), ready.frame, self._weights.graph
        tape = forward(batch, ready.embed, ready.values, graph.to_matrix(masks))
        losses, gradient = self._distance.slope(frame, tape.final, self._models[i])
        found = backward(batch, tape, gradient / (self._unit * len(frame)))
        return float(losses.mean()) / self._unit, graph.from_matrix(found.masks)

    def _batch(self, ready: Ready) -> EngineBatch:
        return EngineBatch(self._weights, ready.frame, ready.prefix, self._prepared.workspace)
