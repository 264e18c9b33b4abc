"""The circuit sizes that the memorization study published, and what its search left open.

Its search bisects 1..E, but moves both ends past the probe by a step: with low = 1, high = E, while low <= high the
middle is measured; where it passes it is the best so far and high = middle - step, else low = middle + step. On a
monotone curve the size returned is therefore one of a coarse grid, and every true minimum of an interval below it
gives the same answer. All seven published sizes are of that grid for step 50 and the 32,491 edges of GPT-Neo-125m,
which is how the rule was recognized.
"""

from collections.abc import Callable
from dataclasses import dataclass

PUBLISHED_SIZES = (14, 141, 332, 1923, 3769, 5614, 78)
PUBLISHED_EDGES = 32_491
STEP = 50


def coarse_search(passes: Callable[[int], bool], n_edges: int, step: int = STEP) -> int | None:
    """The size that the study's search returns; None where no probe passes.

    Args:
        passes: whether the prefix of that size reaches the target.
    """
    low, high, best = 1, n_edges, None
    while low <= high:
        middle = (low + high) // 2
        if passes(middle):
            best, high = middle, middle - step
        else:
            low = middle + step
    return best


@dataclass(frozen=True)
class OpenInterval:
    """A size that the study's search returned, and the true minima, ``low`` to ``high``, that all lead to it."""

    size: int
    low: int
    high: int
    n_edges: int
    step: int


def open_interval(size: int, n_edges: int = PUBLISHED_EDGES, step: int = STEP) -> OpenInterval:
    """Which minimal sizes of a monotone curve would the study's search have reported as ``size``?

    Raises:
        ValueError: its search cannot return that size.
    """
    widest = range(max(1, size - 4 * step), min(n_edges, size + 4 * step) + 1)
    leading = [true for true in widest if coarse_search(lambda n, true=true: n >= true, n_edges, step) == size]  # type: ignore[misc]
    if not leading:
        raise ValueError(f"size {size} is not on the grid of a search over {n_edges} edges with step {step}")
    return OpenInterval(size, leading[0], leading[-1], n_edges, step)
