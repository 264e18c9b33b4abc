"""What an engine is, for those who call one: three functions, and what the last of them gives back."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from memcirc.engine.memory import Memory
from memcirc.engine.request import Request
from memcirc.interventions import RunSettings
from memcirc.models import Model
from memcirc.pairs.record import Pairs


@runtime_checkable
class PreparedCircuits(Protocol):
    """Pairs made ready for many circuits."""

    def logits(self, kept: Tensor, answers_only: bool = False) -> Tensor:
        """Run circuits, bool [circuits, n_edges] in the graph's order: float [circuits, pairs, d_vocab] at each pair's
        answer position, or the answers' columns [circuits, pairs, alternative]; a step axis stands before the last
        where whole answers are read."""


@runtime_checkable
class Engine(Protocol):
    """Who computes: a module with these functions."""

    def check(self, config: Any) -> None:
        """Raises ValueError for a transformers configuration of a model that it does not compute; asked before any
        work."""

    def mask_gradients(self, request: Request, alphas: Sequence[float]) -> Tensor:
        """Sum over alphas of the loss's gradient at all masks = alpha: float [n_edges], or [pairs, n_edges]."""

    def prepare(
        self,
        model: Model,
        pairs: Pairs,
        settings: RunSettings,
        reference: Pairs | None = None,
        batch_size: int | None = None,
        sequence: bool = False,
        memory: Memory | None = None,
    ) -> PreparedCircuits:
        """What circuits on these pairs share; ``sequence`` reads every step of whole answers."""
