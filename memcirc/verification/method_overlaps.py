"""Would another method, another rule of selection, or several methods together have given the same circuit?

Circuits of equal size from the same training pairs: their overlap with the circuit, the rank correlation of their
scores with those it was chosen by, and their own faithfulness. Beside the methods, what is made of them
(:mod:`memcirc.attribution.ensembles`): their mean, lowest and highest places, and the circuit's own scores with the
edges first that resampled documents agree on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from scipy.stats import spearmanr

from memcirc.attribution.attribute import attribute
from memcirc.attribution.ensembles import HOW, consistent, ensemble
from memcirc.attribution.methods import method_named
from memcirc.attribution.scores import EdgeScores, Ranking
from memcirc.circuit import edge_mask
from memcirc.interventions import Ablation
from memcirc.verification.check import Work
from memcirc.verification.record import OfPairs
from memcirc.verification.stability import jaccard
from memcirc.verification.subject import Subject

SELECTIONS = (("top", "abs"), ("top", "signed"), ("greedy", "abs"))
METHODS = ("mask-ig", "eap", "eap-ig-inputs", "relp")


@dataclass(frozen=True)
class MethodOverlap(OfPairs):
    """A circuit of the same size by another method or selection: its overlap with the circuit (Jaccard), the rank
    correlation of its scores' sizes with those of the circuit's own, and its faithfulness, ratio of means."""

    KEY = "methods"

    method: str
    selection: str
    by: str
    n_edges: int
    jaccard: float
    spearman: float
    faithfulness: float


def method_overlaps(subject: Subject) -> list[MethodOverlap]:
    """Every method of ``METHODS`` that defines the circuit's ablation, with every selection, and what is made of them,
    at the circuit's size, on the same training pairs, with its objective, ablation and base.

    Raises:
        ValueError: no training pairs or scores, or ends that coincide.
    """
    own = subject.needed("scores")
    runner, metric = subject.runner(), subject.settings.metric
    own_ranks = own.values.abs().numpy()
    rows, masks = [], []
    for method, scores, rules in _rankings(subject):
        correlation = float(spearmanr(own_ranks, scores.values.abs().numpy()).statistic)
        for selection, by in rules:
            masks.append(Ranking(scores, by, selection).masks([len(subject.circuit)])[0])
            rows.append((method, selection, by, correlation))
    values = runner.faithfulness(torch.stack(masks), metric).tolist()
    found = edge_mask(subject.graph, subject.circuit)[None]
    return [
        MethodOverlap(
            method=method,
            selection=selection,
            by=by,
            way=runner.way(metric),
            n_edges=len(subject.circuit),
            jaccard=float(jaccard(mask[None], found)[0, 0]),
            spearman=correlation,
            faithfulness=value,
        )
        for (method, selection, by, correlation), mask, value in zip(rows, masks, values, strict=True)
    ]


def _rankings(subject: Subject) -> Iterator[tuple[str, EdgeScores, tuple[tuple[str, str], ...]]]:
    """Names, scores, and the rules by which circuits are taken from them; ensembles have no signs."""
    train, options = subject.needed("train"), subject.attribution
    several = []
    for method in METHODS:
        if method_named(method).defined_for(Ablation.parse(options.get("ablation", "resample"))):
            several.append(attribute(subject.model, train, **{**options, "method": method}))
            yield method, several[-1], SELECTIONS
    for how in HOW:
        yield f"ensemble, {how}", ensemble(several, how), SELECTIONS[:1]
    own = subject.own_scores(train)
    scored = EdgeScores(subject.graph, own.mean(0), {"method": options.get("method")}, own)
    yield "consistent", consistent(scored, train.components(), subject.settings.seed), SELECTIONS[:1]


WORK = Work.whole(MethodOverlap, method_overlaps)
