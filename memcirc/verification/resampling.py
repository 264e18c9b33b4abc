"""The bootstrap of pairs over documents: how much would faithfulness move with other documents?

Pairs of one document, of one family, or that share a context are drawn together: the groups of
:meth:`memcirc.pairs.record.Pairs.components`.
"""

from torch import Tensor

from memcirc.pairs.record import Pairs
from memcirc.statistics import Interval, percentile_interval, resample_counts, resampled_ratios

RESAMPLES = 2000


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
    groups = pairs.components()
    counts = resample_counts(groups, n_resamples, seed)
    nothing, everything = ends.double().cpu().numpy()
    found = resampled_ratios(counts, values.double().cpu().numpy(), nothing, everything, resolution)
    return percentile_interval(found, len(groups))
