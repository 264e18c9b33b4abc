"""What an attribution method is: a function from a request to scores, and where it is defined."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from memcirc.engine.request import Request
from memcirc.interventions import Ablation
from memcirc.metrics import DIFFERENTIABLE, Metric


@dataclass(frozen=True)
class Method:
    """An attribution method.

    Attributes:
        run: gives the scores, float [n_edges] in the graph's order, or [pairs, n_edges] where they are asked for.
        engines: who can compute it; None: every engine.
        defined_for: whether it is defined for an ablation.
        joint: whether it looks at all pairs together, so that its scores of some and of others have no mean.
    """

    run: Callable[[Request], Tensor]
    engines: tuple[str, ...] | None = None
    defined_for: Callable[[Ablation], bool] = lambda ablation: True
    joint: bool = False


def check_slope(method: str, objective: str) -> None:
    """Raises ValueError where a method reads slopes at the clean run alone and the objective compares with that very
    run, so that it has none there."""
    if Metric.parse(objective, DIFFERENTIABLE).compares:
        raise ValueError(
            f"method {method!r} reads the slope of {objective!r} at the clean run, which it compares with: there is "
            "none; take mask-ig, or another objective"
        )
