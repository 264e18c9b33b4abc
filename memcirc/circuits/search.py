"""The smallest prefix of a ranking that reaches a target, found with step 1 and checked below.

The search knows no model: it is given a function from sizes to faithfulness.

1. Bisection keeps one size that fails and one that reaches the target until they are neighbours. It asks for one size
   at a time: each costs the engine nearly as much among several as alone, so that asking for more of them is no faster.
2. Faithfulness is not monotone, so a smaller prefix may reach the target too. Every size below
   ``EXHAUSTIVE`` is measured; above it a geometric grid, and where a grid point reaches the target the bisection
   goes on between it and the failing point before it.
3. What is returned is the measurement of the size returned, every measurement made, and a bound: all
   prefixes shorter than ``lower_bound`` were measured and fail.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real

import numpy as np

Faithfulness = Callable[[Sequence[int]], Sequence[float]]

EXHAUSTIVE = 256
GRID_POINTS = 24


@dataclass(frozen=True)
class SizeSearch:
    """The size found, its own faithfulness, and the evidence.

    ``evaluated`` maps every measured size to its faithfulness; ``monotone`` says whether those never fall with size (by
    more than 1e-6). ``target_met`` is False where not even all edges reach the target; the size is then that of the
    best prefix measured.
    """

    n_edges: int
    faithfulness: float
    evaluated: Mapping[int, float]
    lower_bound: int
    monotone: bool
    target_met: bool


def smallest_size(faithfulness: Faithfulness, n_edges: int, target: float = 0.85, scan: bool = True) -> SizeSearch:
    """Search sizes 0..n_edges.

    Args:
        faithfulness: several sizes in, their values out, in the same order.
        target: in (0, 1].
        scan: check below the size that bisection finds; without it ``lower_bound`` says how little is then known.

    Raises:
        ValueError: a target outside (0, 1].
    """
    if isinstance(target, bool) or not isinstance(target, Real) or not 0 < target <= 1:
        raise ValueError(f"target {target!r} is outside (0, 1]")
    evaluated: dict[int, float] = {}

    def measure(sizes: Sequence[int]) -> None:
        new = sorted(set(sizes) - evaluated.keys())
        if new:
            evaluated.update(zip(new, map(float, faithfulness(new)), strict=True))

    def bisect(low: int, high: int) -> int:
        while high - low > 1:
            middle = (low + high) // 2
            measure([middle])
            low, high = (low, middle) if evaluated[middle] >= target else (middle, high)
        return high

    measure([0, n_edges])
    if evaluated[n_edges] < target:
        best = max(evaluated, key=lambda size: evaluated[size])
        return _result(best, evaluated, target)
    size = 0 if evaluated[0] >= target else bisect(0, n_edges)
    while scan:
        measure(range(min(size, EXHAUSTIVE)))
        if size > EXHAUSTIVE:
            measure(np.unique(np.geomspace(EXHAUSTIVE, size - 1, GRID_POINTS).round().astype(int)).tolist())
        reached = [n for n in evaluated if n < size and evaluated[n] >= target]
        if not reached:
            break
        below = max((n for n in evaluated if n < min(reached) and evaluated[n] < target), default=-1)
        size = bisect(below, min(reached))
    return _result(size, evaluated, target)


def _result(size: int, evaluated: Mapping[int, float], target: float) -> SizeSearch:
    curve = [evaluated[n] for n in sorted(evaluated)]
    bound = 0
    while bound < size and bound in evaluated and evaluated[bound] < target:
        bound += 1
    return SizeSearch(
        n_edges=size,
        faithfulness=evaluated[size],
        evaluated=dict(sorted(evaluated.items())),
        lower_bound=bound,
        monotone=all(a <= b + 1e-6 for a, b in pairwise(curve)),
        target_met=evaluated[size] >= target,
    )
