"""What the study of latent thoughts finds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LatentCell:
    """One site at one step under one policy: how many of ``n`` usable pairs are answered with the clean answer, with
    the corrupt run's own, with a third; the 95 % Wilson interval of the first share, and the pairs that an interval of
    the wanted half width would need."""

    policy: str
    component: str
    layer: int | None
    step: int
    n: int
    switched: int
    stayed: int
    third: int
    low: float
    high: float
    needed: int

    @property
    def recovery(self) -> float:
        """The share of pairs that are answered with the clean answer."""
        return self.switched / self.n


@dataclass(frozen=True)
class LatentResults:
    """What was measured on a task.

    ``accuracy`` by number of latents, ``partition`` of all pairs by which of their two questions is answered rightly,
    ``cells`` of every site, step and policy; ``by_group``: recovery [group, step] for the fed vectors and for the
    residual stream after the last layer, by policy; ``expected`` what it must be in the small task (None for a user's
    model).
    """

    accuracy: dict[int, float]
    partition: dict[str, int]
    cells: Sequence[LatentCell]
    by_group: dict[str, np.ndarray]
    expected: dict[str, np.ndarray] | None
    group_names: Sequence[str]
    n_layers: int
    n_steps: int
    self_patch: float
    examples: Sequence[dict[str, str]]
