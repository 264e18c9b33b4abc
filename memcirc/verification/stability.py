"""Would other documents, another split or another method have given the same circuit?

1. Bootstrap over documents (:mod:`memcirc.verification.resampling`) of the test pairs: intervals of faithfulness, and
   of the smallest size on the curve's grid that reaches the target.
2. Re-discovery: scores of every training pair are computed once; a resample of documents, or another split of all
   pairs, averages other rows of them and takes as many edges by the same rule. Jaccard = shared edges over edges of
   either.
3. Other methods and selections: circuits of equal size, their overlap with the circuit, the rank correlation of their
   scores with those it was chosen by, and their own faithfulness.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from memcirc.attribution.attribute import attribute
from memcirc.attribution.methods import method_named
from memcirc.attribution.scores import EdgeScores
from memcirc.circuit import edge_mask
from memcirc.circuits.minimal import prefix_masks
from memcirc.interventions import Ablation
from memcirc.pairs.record import Pairs, joined
from memcirc.statistics import percentile_interval, resample_counts, resampled_ratios
from memcirc.verification.curves import log_grid
from memcirc.verification.resampling import faithfulness_interval
from memcirc.verification.subject import Subject

REDISCOVERIES = 50
SPLIT_SEEDS = 5
SELECTIONS = (("top", "abs"), ("top", "signed"), ("greedy", "abs"))
METHODS = ("mask-ig", "eap", "eap-ig-inputs", "relp")


@dataclass(frozen=True)
class Stability:
    """How much a circuit owes to its documents.

    ``low``, ``high``: 95 % interval of ``faithfulness`` over documents; ``smallest`` the first size of the grid that
    reaches ``target``, with its interval (``never``: the share of resamples in which none does). ``jaccard_found``:
    overlap of re-discovered circuits with the circuit (mean, lowest), ``jaccard_pairwise`` among themselves;
    ``jaccard_splits``: the same over training splits drawn with other seeds; ``core`` counts edges that every
    re-discovery has.
    """

    mode: str
    ablation: str
    reverse: bool
    direction: str
    base: str
    metric: str
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


@dataclass(frozen=True)
class MethodOverlap:
    """A circuit of the same size by another method or selection: its overlap with the circuit (Jaccard), the rank
    correlation of its scores' sizes with those of the circuit's own, and its faithfulness, ratio of means."""

    method: str
    selection: str
    by: str
    mode: str
    ablation: str
    reverse: bool
    direction: str
    base: str
    metric: str
    n_edges: int
    jaccard: float
    spearman: float
    faithfulness: float


def stability(subject: Subject) -> list[Stability]:
    """Under resample, in each direction.

    Raises:
        ValueError: no scores or no training pairs, an empty circuit, too few documents, ends that coincide.
    """
    if not len(subject.circuit):
        raise ValueError("a circuit of 0 edges has no stability")
    rediscovered, other_splits = _found_again(subject)
    overlaps = jaccard(rediscovered, subject.mask[None])[:, 0]
    among = jaccard(rediscovered, rediscovered)
    pairwise = among[np.triu_indices(len(among), 1)]
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
                mode=runner.settings.mode,
                ablation=runner.settings.ablation,
                reverse=reverse,
                direction=runner.settings.direction,
                base=runner.settings.base,
                metric=metric,
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
                jaccard_splits=float(jaccard(other_splits, subject.mask[None]).mean()) if len(other_splits) else None,
                core=int(rediscovered.all(0).sum()),
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
    """Circuits of as many edges, bool [.., n_edges]: those of ``REDISCOVERIES`` resamples of the training documents,
    and those of training splits of all pairs with other seeds (none where only the training pairs are known)."""
    train, parts = subject.needed("train"), [subject.reference, subject.pairs]
    everything = joined(train, *(part for part in parts if part is not None))
    everything = Pairs(tuple(dict.fromkeys(everything.items)), everything.header)
    per_pair = _scores_of(subject, everything)
    place = {pair: i for i, pair in enumerate(everything)}
    counts = resample_counts(train.components(), REDISCOVERIES, subject.settings.seed)
    own = per_pair[[place[pair] for pair in train]]
    resampled = _top(subject, torch.from_numpy(counts).to(per_pair) @ own)
    if len(everything) == len(train):
        return resampled, resampled[:0]
    rows = [[place[pair] for pair in everything.split(seed=seed)[0]] for seed in range(1, SPLIT_SEEDS + 1)]
    return resampled, _top(subject, torch.stack([per_pair[row].mean(0) for row in rows]))


def _scores_of(subject: Subject, pairs: Pairs) -> Tensor:
    """float [pairs, n_edges]: every pair's own scores, by the circuit's own method."""
    found = attribute(subject.model, pairs, per_example=True, **subject.attribution).per_example
    assert found is not None
    return found


def _top(subject: Subject, values: Tensor) -> Tensor:
    """bool [rows, n_edges]: of each row of scores as many edges as the circuit has, by its rule."""
    by, selection = subject.ranking_rule
    size = [len(subject.circuit)]
    return torch.stack([prefix_masks(EdgeScores(subject.graph, v).order(by, selection), size)[0] for v in values])


def _smallest(subject: Subject, reverse: bool) -> tuple[int | None, int | None, int | None, float]:
    """The first size of the grid that reaches the target: on all pairs, its 95 % interval, and how often none does."""
    settings, runner = subject.settings, subject.runner(reverse=reverse)
    order = subject.needed("scores").order(*subject.ranking_rule)
    sizes = np.array(log_grid(runner.graph.n_edges, 2 * settings.curve_points))
    values = runner.per_pair(prefix_masks(order, sizes.tolist()), settings.metric).double().cpu().numpy()
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


def method_overlaps(subject: Subject) -> list[MethodOverlap]:
    """Every method of ``METHODS`` that defines the circuit's ablation, with every selection, at the circuit's size, on
    the same training pairs, with its objective, ablation and base.

    Raises:
        ValueError: no training pairs or scores, or ends that coincide.
    """
    train, own = subject.needed("train"), subject.needed("scores")
    runner, metric = subject.runner(), subject.settings.metric
    own_ranks = own.values.abs().numpy()
    rows, masks = [], []
    options = subject.attribution
    for method in METHODS:
        if not method_named(method).defined_for(Ablation.parse(options.get("ablation", "resample"))):
            continue
        scores = attribute(subject.model, train, **{**options, "method": method})
        correlation = float(spearmanr(own_ranks, scores.values.abs().numpy()).statistic)
        for selection, by in SELECTIONS:
            masks.append(prefix_masks(scores.order(by, selection), [len(subject.circuit)])[0])
            rows.append((method, selection, by, correlation))
    values = runner.faithfulness(torch.stack(masks), metric).tolist()
    found = edge_mask(subject.graph, subject.circuit)[None]
    settings = runner.settings
    return [
        MethodOverlap(
            method=method,
            selection=selection,
            by=by,
            mode=settings.mode,
            ablation=settings.ablation,
            reverse=settings.reverse,
            direction=settings.direction,
            base=settings.base,
            metric=metric,
            n_edges=len(subject.circuit),
            jaccard=float(jaccard(mask[None], found)[0, 0]),
            spearman=correlation,
            faithfulness=value,
        )
        for (method, selection, by, correlation), mask, value in zip(rows, masks, values, strict=True)
    ]


def overlap_table(circuits: Mapping[str, Sequence[str]]) -> list[dict[str, float | str]]:
    """Jaccard of every pair of named circuits, a row a circuit."""
    sets = {name: frozenset(edges) for name, edges in circuits.items()}
    return [{"circuit": a, **{b: len(sets[a] & sets[b]) / max(1, len(sets[a] | sets[b])) for b in sets}} for a in sets]
