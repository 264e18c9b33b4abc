"""Rankings made of others: several methods together, or the edges that resampled documents agree on.

Scores of different methods have different units, so what is put together is each edge's place in the ranking by size, 1
for the highest and towards 0 for the lowest (Mondorf et al. 2025 put the scores themselves together, of methods that
share a unit):

    mean    the edges that all methods rank high on the whole
    min     the edges that no method ranks low
    max     the edges that some method ranks high

*Consistent* edges (Nikankin et al. 2025) are those whose mean score keeps its sign in 95 % of the bootstrap resamples
of the documents; all others are put behind them, both parts in the order of their size.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from memcirc.attribution.scores import EdgeScores
from memcirc.statistics import LEVEL, check_groups, drawn_counts, resampled_means

HOW: dict[str, Callable[..., np.ndarray]] = {"mean": np.mean, "min": np.min, "max": np.max}
RESAMPLES = 1000


def ensemble(several: Sequence[EdgeScores], how: str) -> EdgeScores:
    """One ranking of several: scores in (0, 1], which take no sign.

    Args:
        how: ``mean``, ``min`` or ``max`` of an edge's places.

    Raises:
        ValueError: an unknown word, no scores, or scores of different graphs.
    """
    if how not in HOW:
        raise ValueError(f"ensemble by {how!r} is not known; accepted: {', '.join(HOW)}")
    if not several or any(scores.graph != several[0].graph for scores in several):
        raise ValueError(f"an ensemble of {len(several)} scores; those of one graph are needed, at least one")
    places = np.stack([_places(scores) for scores in several])
    origin = {"method": f"ensemble, {how}", "of": [scores.origin.get("method") for scores in several]}
    return EdgeScores(several[0].graph, torch.from_numpy(HOW[how](places, axis=0)), {**several[0].origin, **origin})


def consistent(scores: EdgeScores, groups: Sequence[Sequence[int]], seed: int) -> EdgeScores:
    """The same scores, with those of inconsistent edges made smaller than every consistent one's.

    Args:
        groups: the numbers of the pairs that are drawn together.

    Raises:
        ValueError: no scores of the pairs, groups that are not of these pairs, a seed below 0.
    """
    if scores.per_example is None:
        raise ValueError("these scores keep no pair's own; attribute(..., per_example=True) does")
    own = scores.per_example.double().cpu().numpy()
    check_groups(groups, len(own))
    drawn = resampled_means(drawn_counts(groups, RESAMPLES, seed), own.T)
    values = own.mean(0)
    kept = ((np.sign(drawn) == np.sign(values)).mean(0) >= LEVEL) & (values != 0)
    smallest, largest = np.abs(values[kept]).min(initial=np.inf), np.abs(values[~kept]).max(initial=0)
    shrunk = 0.5 * smallest / largest if largest >= smallest else 1.0
    ranked = np.where(kept, values, values * shrunk)
    origin = {**scores.origin, "method": f"{scores.origin.get('method')}, consistent"}
    return EdgeScores(scores.graph, torch.from_numpy(ranked), origin)


def _places(scores: EdgeScores) -> np.ndarray:
    """float64 [n_edges]: 1 for the first edge of the ranking by size, 1/n for the last."""
    order = scores.order().numpy()
    places = np.empty(len(order))
    places[order] = 1 - np.arange(len(order)) / len(order)
    return places
