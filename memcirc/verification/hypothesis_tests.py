"""The statistics of the circuit hypothesis, on plain numbers (after Shi et al. 2024, "Hypothesis Testing the Circuit
Hypothesis in LLMs"); :mod:`memcirc.verification.hypotheses` says what they are computed of.

- Sign test: of n untied comparisons k favour the first side. Null: both sides win equally often, k ~ Bin(n, 1/2).
  p = P(|Bin - n/2| >= |k - n/2|), two-sided and exact.
- Margin test: the same with a wider null, that either side wins with a probability of at most 1/2 + ``MARGIN``; p is
  that of the probability in this range which is the most favourable to the null, at its end.
- Exceedance test: a found value exceeds k of n reference values drawn at random. Null: it exceeds a reference with
  probability at most q, k ~ Bin(n, q). p = P(Bin >= k), one-sided and exact.
- Independence: the HSIC of two sets of vectors with Gaussian kernels of median bandwidth (Gretton et al. 2008), against
  its values when one set is permuted. Null: independent. p = (1 + permutations at least as high) / (1 + permutations).
- Several exceedance tests at once are corrected by Holm's step-down rule.
"""

import math
from collections.abc import Sequence
from itertools import count

import numpy as np
from scipy.stats import binom, binomtest

LEVEL = 0.05
MARGIN = 0.1


def fewest_for_sign_test(level: float = LEVEL) -> int:
    """The smallest n whose most extreme outcome, 2^(1 - n), reaches the level."""
    return math.ceil(1 - math.log2(level))


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact p-value of the untied comparisons.

    Raises:
        ValueError: too few untied comparisons to reach 5 %.
    """
    n, fewest = wins + losses, fewest_for_sign_test()
    if n < fewest:
        raise ValueError(
            f"{n} groups of pairs on which the two differ; a sign test at {LEVEL:g} needs at least {fewest}"
        )
    return float(binomtest(wins, n).pvalue)


def fewest_for_margin_test(margin: float = MARGIN, level: float = LEVEL) -> int:
    """The smallest n whose most extreme outcome reaches the level."""
    return next(n for n in count(1) if (0.5 + margin) ** n + (0.5 - margin) ** n <= level)


def margin_test(wins: int, losses: int, margin: float = MARGIN) -> float:
    """Exact p-value of the untied comparisons where neither side's winning more often by the margin counts.

    Raises:
        ValueError: too few untied comparisons to reach 5 %.
    """
    n, fewest = wins + losses, fewest_for_margin_test(margin)
    if n < fewest:
        raise ValueError(
            f"{n} groups on which the two differ; a test with a margin of {margin:g} needs at least {fewest}"
        )
    most, fewer = max(wins, losses), min(wins, losses)
    if most == fewer:
        return 1.0
    return float(min(1.0, binom.sf(most - 1, n, 0.5 + margin) + binom.cdf(fewer, n, 0.5 + margin)))


def fewest_for_exceedance(q: float, level: float = LEVEL) -> int:
    """The smallest n whose most extreme outcome, q^n, reaches the level."""
    return math.ceil(math.log(level) / math.log(q))


def exceedance_test(exceeded: int, n: int, q: float, level: float = LEVEL) -> float:
    """One-sided exact p-value of exceeding ``exceeded`` of ``n`` references, under probability ``q``.

    Raises:
        ValueError: too few references to reach the level.
    """
    fewest = fewest_for_exceedance(q, level)
    if n < fewest:
        raise ValueError(f"{n} reference values; exceeding a share of {q:g} at {level:.2g} needs at least {fewest}")
    return float(binom.sf(exceeded - 1, n, q))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given (Holm 1979)."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(np.minimum(1.0, p[order] * np.arange(len(p), 0, -1)))
    result = np.empty_like(adjusted)
    result[order] = adjusted
    return result.tolist()


def hsic(x: np.ndarray, y: np.ndarray) -> float:
    """The biased estimate of the Hilbert-Schmidt independence criterion of x [n, ...] and y [n, ...]."""
    k, centred = _kernel(x), _centred(_kernel(y))
    return float((k * centred).sum() / (len(k) - 1) ** 2)


def hsic_test(x: np.ndarray, y: np.ndarray, n_permutations: int, seed: int) -> tuple[float, float]:
    """HSIC and its permutation p-value.

    Raises:
        ValueError: fewer than 5 pairs of values, which have too few permutations.
    """
    if len(x) < 5:
        raise ValueError(f"{len(x)} groups of pairs; a permutation test of independence needs at least 5")
    k, centred = _kernel(x), _centred(_kernel(y))
    found = float((k * centred).sum())
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(len(k)) for _ in range(n_permutations)]
    drawn = np.array([(k * centred[np.ix_(order, order)]).sum() for order in orders])
    at_least = int((drawn >= found - 1e-12 * abs(found)).sum())
    return found / (len(k) - 1) ** 2, (1 + at_least) / (1 + n_permutations)


def _kernel(x: np.ndarray) -> np.ndarray:
    """Gaussian kernel matrix [n, n]; the bandwidth is the median distance."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    norms = np.square(flat).sum(1)
    squared = np.maximum(norms[:, None] + norms[None] - 2 * flat @ flat.T, 0)
    median = np.median(squared[np.triu_indices(len(flat), 1)])
    return np.exp(-squared / (2 * median if median > 0 else 1.0))


def _centred(k: np.ndarray) -> np.ndarray:
    return k - k.mean(0) - k.mean(1, keepdims=True) + k.mean()
