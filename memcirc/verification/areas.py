"""One number for a whole faithfulness curve, as MIB (Mueller et al. 2025) defines it and on a logarithmic axis.

With x the share of edges, f the faithfulness at it, and trapezoids between the points given:

- ``cpr`` = integral of f dx (higher is better). It is unbounded, and 80 % of it lies above 20 % of the edges: never
  state it alone;
- ``cmd`` = integral of |1 - f| dx (0 is best);
- ``log_auc`` = integral of f d(ln x), divided by ln(x_max / x_min): every factor of size counts alike.
"""

from collections.abc import Sequence

import numpy as np

MIB_FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def areas(fractions: Sequence[float], faithfulness: Sequence[float]) -> dict[str, float]:
    """The three areas of a curve.

    Args:
        fractions: shares of the graph's edges, in (0, 1], rising.
        faithfulness: at those sizes.

    Raises:
        ValueError: fewer than two points, lists of unequal length, or fractions that do not rise within (0, 1].
    """
    x, f = np.asarray(fractions, dtype=float), np.asarray(faithfulness, dtype=float)
    if len(x) != len(f) or len(x) < 2:
        raise ValueError(f"{len(x)} fractions and {len(f)} values; the same number of both is needed, at least 2")
    if x[0] <= 0 or x[-1] > 1 or (np.diff(x) <= 0).any():
        raise ValueError(f"fractions {list(fractions)} do not rise within (0, 1]")
    log_x = np.log(x)
    return {
        "cpr": float(np.trapezoid(f, x)),
        "cmd": float(np.trapezoid(np.abs(1 - f), x)),
        "log_auc": float(np.trapezoid(f, log_x) / (log_x[-1] - log_x[0])),
    }
