"""What an attribution method is: a function from a request to scores, and where it is defined."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from memcirc.engine.request import Request
from memcirc.interventions import Ablation


@dataclass(frozen=True)
class Method:
    """An attribution method.

    Attributes:
        run: gives the scores, float [n_edges] in the graph's order, or [pairs, n_edges] where they are asked for.
        engines: who can compute it; None: every engine.
        defined_for: whether it is defined for an ablation.
    """

    run: Callable[[Request], Tensor]
    engines: tuple[str, ...] | None = None
    defined_for: Callable[[Ablation], bool] = lambda ablation: True
