"""The bootstrap over documents: how much would a number move with other documents?

Pairs of one document, of one family, or that share a context are drawn together: the groups of
:func:`memcirc.pairs.splits.components`. A resample draws as many groups as there are, with replacement; a statistic is
computed anew from each resample's pairs (ends included), and the interval runs between its percentiles (Efron 1979).
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from memcirc.pairs.record import Pairs
from memcirc.pairs.splits import components
from memcirc.statistics import normalised

FEWEST_GROUPS = 5
RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A percentile interval, and what it was computed from: groups of pairs, and resamples that gave a number."""

    low: float
    high: float
    level: float
    n_groups: int
    n_resamples: int


def resample_counts(pairs: Pairs, n_resamples: int, seed: int) -> np.ndarray:
    """float64 [n_resamples, pairs]: how often each pair is drawn.

    Raises:
        ValueError: fewer than ``FEWEST_GROUPS`` groups.
    """
    groups = components(pairs)
    if len(groups) < FEWEST_GROUPS:
        raise ValueError(
            f"{len(pairs)} pairs form {len(groups)} unrelated groups of documents; "
            f"a bootstrap over documents needs at least {FEWEST_GROUPS}"
        )
    member = np.empty(len(pairs), dtype=np.int64)
    for number, rows in enumerate(groups):
        member[rows] = number
    drawn = np.random.default_rng(seed).multinomial(len(groups), [1 / len(groups)] * len(groups), size=n_resamples)
    return drawn[:, member].astype(np.float64)


def ratios(
    counts: np.ndarray, values: np.ndarray, nothing: np.ndarray, everything: np.ndarray, resolution: float = 0.0
) -> np.ndarray:
    """float64 [n_resamples, ...]: faithfulness of every resample, NaN where its ends coincide.

    Args:
        counts: [n_resamples, pairs]; values: [..., pairs] of the metric; nothing, everything: [pairs], the ends;
            resolution: of the metric (:class:`memcirc.statistics.Ends`).
    """
    shares = counts / counts.sum(1, keepdims=True)
    low, high = shares @ nothing, shares @ everything
    ends = (low, high) if values.ndim == 1 else (low[:, None], high[:, None])
    return normalised(shares @ values.T, *ends, resolution)


def interval(draws: np.ndarray, n_groups: int, level: float = LEVEL) -> Interval:
    """The percentile interval of a statistic's draws, [n_resamples].

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


def faithfulness_interval(
    pairs: Pairs, values: Tensor, ends: Tensor, seed: int, n_resamples: int = RESAMPLES, resolution: float = 0.0
) -> Interval:
    """The interval of the ratio of means.

    Args:
        values: float [pairs], the metric under the circuit; ends: float [2, pairs], as ``CircuitRunner.end_values``;
            resolution: as of ``CircuitRunner.ends``.

    Raises:
        ValueError: too few groups of documents, or resamples without a ratio.
    """
    counts = resample_counts(pairs, n_resamples, seed)
    nothing, everything = ends.double().cpu().numpy()
    found = ratios(counts, values.double().cpu().numpy(), nothing, everything, resolution)
    return interval(found, len(components(pairs)))
