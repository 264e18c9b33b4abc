"""Rankings by what edges carry of one kind of text and not of another.

Scores of two kinds of text have one unit and different sizes: a passage that is recited loses more by any change than
one that is guessed. Each is divided by the sum of its absolute values, so that an edge has its share of all there is,
and

    difference = share of the one - weight * share of the other.

Weight 0 is the ranking of the one alone; with growing weight edges that both need fall back.
"""

import math
from dataclasses import replace
from numbers import Real

from torch import Tensor

from memcirc.attribution.scores import EdgeScores


def difference(own: EdgeScores, other: EdgeScores, weight: float = 1.0) -> EdgeScores:
    """Scores whose signed ranking (``by="signed"``) has first the edges of one kind of text that the other spares.

    Args:
        own, other: a positive score means that ablating the edge harms that kind of text.
        weight: finite, at least 0.

    Raises:
        ValueError: scores of two graphs, a weight out of range, or scores that are all 0.
    """
    if own.graph != other.graph:
        raise ValueError(f"scores of graphs of {own.graph.n_edges} and {other.graph.n_edges} edges: not the same graph")
    if not (isinstance(weight, Real) and 0 <= weight < math.inf):
        raise ValueError(f"weight {weight!r} is no finite number of at least 0")
    origin = {**own.origin, "method": f"{own.origin.get('method')}, difference", "weight": weight}
    return replace(own, values=_shares(own) - weight * _shares(other), origin=origin, per_example=None)


def _shares(scores: EdgeScores) -> Tensor:
    """float64 [n_edges], whose absolute values add up to 1."""
    values = scores.values.double()
    whole = float(values.abs().sum())
    if not whole:
        raise ValueError("scores that are all 0 have no shares")
    return values / whole
