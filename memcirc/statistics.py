"""The statistics of every room, once: values between two ends, the bootstrap over groups, intervals, exact tests.

**Ends.** A value of a metric is told by where it lies between two ends,

    normalised(v) = (v - nothing) / (everything - nothing).

Two ends *coincide* where they lie no further apart than what the arithmetic behind them can tell: the ``resolution``
of the metric (:func:`memcirc.metrics.resolution`), and in any case a millionth of the larger end. Between such ends a
ratio would be rounding divided by rounding, so there is none: NaN for one of many, a ValueError where it is the result.

**Bootstrap** (Efron 1979). What is drawn are groups, since pairs of one document or family move together: as many as
there are, with replacement. A statistic is computed anew from each draw, its ends included, and the interval runs
between percentiles of the draws.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from jaxtyping import Float, Real
from scipy.stats import binomtest, mannwhitneyu

Counts = Float[np.ndarray, "n_resamples members"]

SMALLEST_SHARE = 1e-6
LEVEL = 0.95
FEWEST_GROUPS = 5
USUAL = (-0.5, 1.5)

Values = Any
"""What numpy takes as an array of floats."""


def coincide(nothing: Values, everything: Values, resolution: float = 0.0) -> np.ndarray:
    """bool, elementwise: whether two ends are the same as far as can be told. Ends that are NaN are."""
    nothing, everything = np.asarray(nothing, np.float64), np.asarray(everything, np.float64)
    larger = np.maximum(np.abs(nothing), np.abs(everything))
    return np.asarray(~(np.abs(everything - nothing) > np.maximum(resolution, SMALLEST_SHARE * larger)))


def normalised(values: Values, nothing: Values, everything: Values, resolution: float = 0.0) -> np.ndarray:
    """float64, elementwise and broadcast: where the values lie between the ends; NaN where the ends coincide."""
    values, nothing, everything = (np.asarray(each, np.float64) for each in (values, nothing, everything))
    span = np.where(coincide(nothing, everything, resolution), np.nan, everything - nothing)
    return np.asarray((values - nothing) / span + 0.0)


def usual(*values: float | None) -> bool:
    """Whether normalised values lie where one expects them; beyond that the ends lie too close to divide by, or the
    value is one that neither end explains. None, for what there is not, is as usual as any."""
    low, high = USUAL
    return all(value is None or low <= value <= high for value in values)


@dataclass(frozen=True)
class Ends:
    """The mean of a metric with no edge of the circuit's kind at work, and with all; ``resolution`` is the smallest
    difference between them that means anything."""

    nothing: float
    everything: float
    resolution: float = 0.0

    def faithfulness(self, values: Values) -> np.ndarray:
        """float64, elementwise: means of the metric -> faithfulness.

        Raises:
            ValueError: the ends coincide, so that the ratio means nothing.
        """
        if coincide(self.nothing, self.everything, self.resolution):
            raise ValueError(
                f"faithfulness is not defined: the metric is {self.nothing:.6g} with no edge and {self.everything:.6g} "
                f"with all edges, which this precision cannot tell apart (resolution {self.resolution:.1g}); these "
                "pairs do not contrast under this metric and ablation"
            )
        return normalised(values, self.nothing, self.everything, self.resolution)


@dataclass(frozen=True)
class Interval:
    """A percentile interval, and what it was computed from: groups, and resamples that gave a number."""

    low: float
    high: float
    level: float
    n_groups: int
    n_resamples: int


def grouped(keys: Iterable[Hashable]) -> list[list[int]]:
    """The members' numbers, those of one key together, in the order in which keys first occur."""
    groups: dict[Hashable, list[int]] = {}
    for number, key in enumerate(keys):
        groups.setdefault(key, []).append(number)
    return list(groups.values())


def check_groups(groups: Sequence[Sequence[int]], n: int) -> None:
    """Raises ValueError unless each of the numbers 0 to n - 1 is in exactly one group."""
    members = [member for group in groups for member in group]
    if not all(isinstance(member, Integral) for member in members) or sorted(members) != list(range(n)):
        raise ValueError(f"groups of documents that do not hold each of the {n} scored pairs once")


def resample_counts(groups: Sequence[Sequence[int]], n_resamples: int, seed: int) -> Counts:
    """The same as :func:`drawn_counts`, of groups of documents enough for an interval that a claim rests on.

    Raises:
        ValueError: fewer than ``FEWEST_GROUPS`` groups.
    """
    if len(groups) < FEWEST_GROUPS:
        raise ValueError(
            f"{sum(map(len, groups))} pairs form {len(groups)} unrelated groups of documents; "
            f"a bootstrap over documents needs at least {FEWEST_GROUPS}"
        )
    return drawn_counts(groups, n_resamples, seed)


def drawn_counts(groups: Sequence[Sequence[int]], n_resamples: int, seed: int) -> Counts:
    """How often each member is drawn, those of a group together.

    Args:
        groups: every member's number, 0 and up, in exactly one of them.
    """
    member = np.empty(sum(map(len, groups)), dtype=np.int64)
    for number, rows in enumerate(groups):
        member[list(rows)] = number
    drawn = np.random.default_rng(seed).multinomial(len(groups), [1 / len(groups)] * len(groups), size=n_resamples)
    return drawn[:, member].astype(np.float64)


def resampled_means(counts: Counts, values: Float[np.ndarray, "*rest members"]) -> Float[np.ndarray, "n_resamples ..."]:
    """The mean of values in every resample."""
    return (counts / counts.sum(1, keepdims=True)) @ values.T


def resampled_ratios(
    counts: Counts,
    values: Float[np.ndarray, "*rest members"],
    nothing: Float[np.ndarray, " members"],
    everything: Float[np.ndarray, " members"],
    resolution: float = 0.0,
) -> Float[np.ndarray, "n_resamples ..."]:
    """Where the means lie between those of the ends; NaN where these coincide. ``resolution`` as of :class:`Ends`."""
    low, high = resampled_means(counts, nothing), resampled_means(counts, everything)
    ends = (low, high) if values.ndim == 1 else (low[:, None], high[:, None])
    return normalised(resampled_means(counts, values), *ends, resolution)


def percentile_interval(draws: Float[np.ndarray, " n_resamples"], n_groups: int, level: float = LEVEL) -> Interval:
    """The percentile interval of a statistic's draws.

    Raises:
        ValueError: fewer than nine resamples in ten gave a number.
    """
    usable = draws[np.isfinite(draws)]
    if len(usable) < 0.9 * len(draws):
        raise ValueError(
            f"{len(draws) - len(usable)} of {len(draws)} resamples have no faithfulness: their ends coincide"
        )
    low, high = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Interval(low, high, level, n_groups, len(usable))


def wilson(successes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The Wilson score interval of a share (Wilson 1927)."""
    low, high = binomtest(successes, n).proportion_ci(level, method="wilson")
    return float(low), float(high)


def area_under_roc(inside: Real[np.ndarray, " inside"], outside: Real[np.ndarray, " outside"]) -> float:
    """The probability that a score from inside outranks one from outside, ties counting one half (Mann and Whitney
    1947)."""
    return float(mannwhitneyu(inside, outside).statistic) / (len(inside) * len(outside))
