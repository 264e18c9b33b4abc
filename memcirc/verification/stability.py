"""Would other documents or another split have given the same circuit?

1. Bootstrap over documents (:mod:`memcirc.verification.resampling`) of the test pairs: intervals of faithfulness, and
   of the smallest size on the curve's grid that reaches the target.
2. Re-discovery: scores of every training pair are computed once; a resample of documents, or another split of all
   pairs, averages other rows of them and takes as many edges by the same rule. Jaccard = shared edges over edges of
   either. Of a refined circuit, what is found again is the prefix that it was cut from.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from memcirc.attribution.scores import EdgeScores
from memcirc.statistics import percentile_interval, resample_counts, resampled_ratios
from memcirc.verification.check import Work
from memcirc.verification.curves import log_grid
from memcirc.verification.record import OfPairs
from memcirc.verification.resampling import faithfulness_interval
from memcirc.verification.subject import Subject


@dataclass(frozen=True)
class Stability(OfPairs):
    """How much a circuit owes to its documents.

    ``low``, ``high``: 95 % interval of ``faithfulness`` over documents; ``smallest`` the first size of the grid that
    reaches ``target``, with its interval (``never``: the share of resamples in which none does). ``jaccard_found``:
    overlap of re-discovered circuits with the circuit (mean, lowest), ``jaccard_pairwise`` among themselves;
    ``jaccard_splits``: the same over training splits drawn with other seeds; ``core`` counts edges that every
    re-discovery has; ``found_again``: of each edge of the circuit the share of re-discoveries that have it.
    """

    KEY = "stability"

    n_edges: int
    n_documents: int
    n_resamples: int
    faithfulness: float
    low: float
    high: float
    target: float
    smallest: int | None
    smallest_low: int | None
    smallest_high: int | None
    never: float
    n_rediscoveries: int
    jaccard_found: float
    jaccard_lowest: float
    jaccard_pairwise: float
    n_splits: int
    jaccard_splits: float | None
    core: int
    found_again: Mapping[str, float] = field(default_factory=dict)


def stability(subject: Subject) -> list[Stability]:
    """Under resample, in each direction.

    Raises:
        ValueError: no scores or no training pairs, an empty circuit, too few documents, ends that coincide.
    """
    if not len(subject.circuit):
        raise ValueError("a circuit of 0 edges has no stability")
    rediscovered, other_splits = _found_again(subject)
    prefix = subject.prefix_mask[None]
    overlaps = jaccard(rediscovered, prefix)[:, 0]
    among = jaccard(rediscovered, rediscovered)
    pairwise = among[np.triu_indices(len(among), 1)]
    shares = dict(zip(subject.graph.edges, rediscovered.double().mean(0).tolist(), strict=True))
    found = []
    for reverse in subject.directions:
        runner, metric, seed = subject.runner(reverse=reverse), subject.settings.metric, subject.settings.seed
        values, ends = runner.per_pair([subject.circuit], metric)[0], runner.ends(metric)
        bounds = faithfulness_interval(
            subject.pairs, values, runner.end_values(metric), seed, subject.settings.n_resamples, ends.resolution
        )
        smallest, low, high, never = _smallest(subject, reverse)
        found.append(
            Stability(
                way=runner.way(metric),
                n_edges=len(subject.circuit),
                n_documents=bounds.n_groups,
                n_resamples=bounds.n_resamples,
                faithfulness=float(ends.faithfulness(values.double().mean().cpu())),
                low=bounds.low,
                high=bounds.high,
                target=subject.settings.target,
                smallest=smallest,
                smallest_low=low,
                smallest_high=high,
                never=never,
                n_rediscoveries=len(rediscovered),
                jaccard_found=float(overlaps.mean()),
                jaccard_lowest=float(overlaps.min()),
                jaccard_pairwise=float(pairwise.mean()),
                n_splits=len(other_splits),
                jaccard_splits=float(jaccard(other_splits, prefix).mean()) if len(other_splits) else None,
                core=int(rediscovered.all(0).sum()),
                found_again={name: shares[name] for name in subject.circuit},
            )
        )
    return found


def jaccard(some: Tensor, others: Tensor) -> np.ndarray:
    """float64 [some, others]: shared edges over edges of either, of masks bool [..., n_edges]."""
    a, b = some.double(), others.double()
    shared = a @ b.T
    either = a.sum(1)[:, None] + b.sum(1)[None] - shared
    return (shared / either.clamp_min(1)).numpy()


def _found_again(subject: Subject) -> tuple[Tensor, Tensor]:
    """Circuits of as many edges, bool [.., n_edges]: those of ``n_rediscoveries`` resamples of the training documents,
    and those of training splits of all pairs with other seeds (none where only the training pairs are known)."""
    train, (everything, _) = subject.needed("train"), subject.scored_pairs
    counts = resample_counts(train.components(), subject.settings.n_rediscoveries, subject.settings.seed)
    own = subject.own_scores(train)
    resampled = _top(subject, torch.from_numpy(counts).to(own) @ own)
    if len(everything) == len(train):
        return resampled, resampled[:0]
    splits = [everything.split(seed=seed)[0] for seed in range(1, subject.settings.n_splits + 1)]
    return resampled, _top(subject, torch.stack([subject.own_scores(split).mean(0) for split in splits]))


def _top(subject: Subject, values: Tensor) -> Tensor:
    """bool [rows, n_edges]: of each row of scores as many edges as the prefix has, by its rule."""
    size = [int(subject.prefix_mask.sum())]
    return torch.stack([subject.ranked(EdgeScores(subject.graph, row)).masks(size)[0] for row in values])


def _smallest(subject: Subject, reverse: bool) -> tuple[int | None, int | None, int | None, float]:
    """The first size of the grid that reaches the target: on all pairs, its 95 % interval, and how often none does."""
    settings, runner = subject.settings, subject.runner(reverse=reverse)
    sizes = np.array(log_grid(runner.graph.n_edges, 2 * settings.curve_points))
    values = runner.per_pair(subject.ranking.masks(sizes.tolist()), settings.metric).double().cpu().numpy()
    nothing, everything = runner.end_values(settings.metric).double().cpu().numpy()
    counts = resample_counts(subject.pairs.components(), settings.n_resamples, settings.seed)

    def first(drawn: np.ndarray) -> np.ndarray:
        resolution = runner.ends(settings.metric).resolution
        reached = resampled_ratios(drawn, values, nothing, everything, resolution) >= settings.target
        return np.where(reached.any(1), sizes[reached.argmax(1)], np.nan)

    whole = first(np.ones((1, len(nothing))))[0]
    draws = first(counts)
    never = float(np.isnan(draws).mean())
    if np.isnan(whole) or never > 0.1:
        return None if np.isnan(whole) else int(whole), None, None, never
    bounds = percentile_interval(draws, 0)
    return int(whole), math.floor(bounds.low), math.ceil(bounds.high), never


WORK = Work.whole(Stability, stability)
