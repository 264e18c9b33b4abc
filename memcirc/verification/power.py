"""What a test would have found: the smallest effect at which it rejects its null in ``POWER`` of all cases.

A null that stands says something only beside this: where even large effects would have gone unnoticed, nothing was
tested.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import binom, norm

from memcirc.verification.hypothesis_tests import LEVEL, hsic_test

POWER = 0.8
GRID = 1000
SHARES = tuple(i / 10 for i in range(1, 11))
DRAWS, PERMUTATIONS = 20, 199


def detectable_probability(p_value: Callable[[int], float], n: int, start: float, level: float = LEVEL) -> float | None:
    """The smallest probability above ``start`` with which n comparisons must be won for a test of their number to
    reject; None where no probability suffices.

    Args:
        p_value: of a number of comparisons that were won.
    """
    won = np.arange(n + 1)
    rejected = np.array([p_value(int(k)) <= level for k in won])
    for probability in np.linspace(start, 1, GRID + 1)[1:].tolist():
        if float(binom.pmf(won, n, probability)[rejected].sum()) >= POWER:
            return float(probability)
    return None


def detectable_share(x: np.ndarray, y: np.ndarray, seed: int) -> float | None:
    """The smallest of ``SHARES`` of y that x would have to hold for the test of independence to see it: x is shuffled,
    so that nothing of y is in it, brought to y's spread, and mixed with y in that share; ``DRAWS`` times. None where
    even y itself would not be seen."""
    generator = np.random.default_rng(seed)
    spread = float(y.std() / x.std()) if x.std() > 0 else 0.0
    for share in SHARES:
        found = 0
        for draw in range(DRAWS):
            mixed = (1 - share) * spread * x[generator.permutation(len(x))] + share * y
            found += hsic_test(mixed, y, PERMUTATIONS, draw)[1] <= LEVEL
        if found >= POWER * DRAWS:
            return share
    return None


def detectable_correlation(n: int) -> float | None:
    """The smallest correlation of n values that a two-sided test sees, by Fisher's transformation; None below 4."""
    if n < 4:
        return None
    return float(np.tanh((norm.ppf(1 - LEVEL / 2) + norm.ppf(POWER)) / np.sqrt(n - 3)))
