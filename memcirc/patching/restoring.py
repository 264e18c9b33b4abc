"""Sets of patches: the smallest that restores a behaviour, and whether two add up.

The smallest set is grown greedily, the patch that helps most first, until the goal is reached; then patches that turn
out not to be needed are taken out again, so that no single one can be left out of what is returned. It need not be the
smallest of all sets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from memcirc.patching.patches import Patch
from memcirc.patching.sites import Site

Effects = Callable[[Sequence[Patch]], np.ndarray]


@dataclass(frozen=True)
class Restored:
    """A set of sites, the curve of effects while it grew (after 1, 2, ... sites), and whether it reached the goal."""

    labels: tuple[str, ...]
    effect: float
    curve: tuple[float, ...]
    order: tuple[str, ...]
    reached: bool


def combined_patch(sites: Sequence[Site]) -> Patch:
    """Several sites written at once."""
    return Patch(tuple(sites))


def smallest_restoring(
    sites: Sequence[Site], alone: Sequence[float], effects: Effects, goal: float, at_most: int
) -> Restored:
    """The smallest set found that reaches a goal, grown and then pruned; where none does, the largest that was grown.

    Args:
        sites: candidates; alone: the effect of each by itself.
        effects: effect of each patch, higher is better.
        goal: what the set's effect should reach.
        at_most: sites in the set at most.
    """
    first = int(np.argmax(alone))
    chosen, curve = [sites[first]], [float(alone[first])]
    while len(chosen) < min(at_most, len(sites)) and curve[-1] < goal:
        rest = [where for where in sites if where not in chosen]
        found = effects([combined_patch([*chosen, where]) for where in rest])
        chosen.append(rest[int(found.argmax())])
        curve.append(float(found.max()))
    order = tuple(where.hook for where in chosen)
    effect, reached = curve[-1], curve[-1] >= goal
    while reached and len(chosen) > 1:
        fewer = [[other for other in chosen if other != where] for where in chosen]
        found = effects([combined_patch(rest) for rest in fewer])
        if found.max() < goal:
            break
        chosen, effect = fewer[int(found.argmax())], float(found.max())
    return Restored(tuple(where.hook for where in chosen), effect, tuple(curve), order, reached)


@dataclass(frozen=True)
class PairEffect:
    """Two sites apart and together: ``interaction`` = together - (first + second)."""

    first: str
    second: str
    first_effect: float
    second_effect: float
    together: float

    @property
    def interaction(self) -> float:
        """What both do together beyond the sum of each."""
        return self.together - self.first_effect - self.second_effect


def additivity(sites: Sequence[Site], alone: Sequence[float], effects: Effects) -> list[PairEffect]:
    """The effects of every pair of the given sites, apart and together; ``alone``: of each by itself."""
    pairs = [(i, j) for i in range(len(sites)) for j in range(i + 1, len(sites))]
    both = effects([combined_patch([sites[i], sites[j]]) for i, j in pairs])
    return [
        PairEffect(sites[i].hook, sites[j].hook, float(alone[i]), float(alone[j]), float(together))
        for (i, j), together in zip(pairs, both, strict=True)
    ]
