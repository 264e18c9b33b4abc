"""Values between two ends: the project's one rule for normalising, and for when it cannot.

    normalised(v) = (v - nothing) / (everything - nothing)

Two ends *coincide* where they lie no further apart than what the arithmetic behind them can tell: the ``resolution``
of the metric (:func:`memcirc.metrics.resolution`), and in any case a millionth of the larger end. Between such ends a
ratio would be rounding divided by rounding, so there is none: NaN for one of many, a ValueError where it is the result.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

SMALLEST_SHARE = 1e-6

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
