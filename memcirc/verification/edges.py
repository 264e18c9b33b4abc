"""Which edges carry what was learned? Each edge's scores on memorized passages beside those on other text.

Against a twin an edge has a score on any text: how far the objective falls when the edge carries what it carries in the
twin. An edge of the memory has higher scores on memorized passages than on text that the twin knows as well. Of every
edge: Welch's test of the mean score of memorized passages (one a document, per token of their completions) against that
of near and ordinary text, two-sided; and, over all edges, how many pass at 5 %, alone and with the false discovery rate
held at 5 % (Benjamini and Hochberg 1995).

Between two models of which neither has learned the passages, both kinds of text are alike, and at most 5 % of the edges
pass alone.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import false_discovery_control, ttest_ind

from memcirc.attribution.attribute import attribute
from memcirc.attribution.settings import AttributionOptions
from memcirc.interventions import Way
from memcirc.pairs.record import Pairs
from memcirc.verification.check import Work
from memcirc.verification.passages import Passages
from memcirc.verification.record import OfPassages
from memcirc.verification.subject import Subject

WAY = Way("tree", "twin", metric="sequence_logprob")
LEVEL = 0.05
METHOD = "clean-corrupted"
SHOWN = 20


@dataclass(frozen=True)
class EdgeTests(OfPassages):
    """How many edges of the graph, and of the circuit, have other scores on memorized passages than on other text:
    ``passing`` at ``level`` each alone, ``discovered`` with the false discovery rate at ``level``. ``mode`` is that in
    which the circuit was found. ``strongest`` names up to ``SHOWN`` of the discovered, those whose mean scores lie
    furthest apart first: ``memorized`` and ``other``, nats a token, the ``p_value`` alone, ``in_circuit``."""

    KEY = "edges"

    mode: str
    level: float
    n_memorized: int
    n_other: int
    graph_edges: int
    passing: int
    discovered: int
    n_edges: int
    circuit_passing: int
    circuit_discovered: int
    strongest: Sequence[Mapping[str, Any]]


def edge_tests(subject: Subject) -> list[EdgeTests]:
    """One line of a model beside its twin; none of another.

    Raises:
        ValueError: no passages were given, or fewer than two of a kind.
    """
    if subject.model.twin is None:
        return []
    passages: Passages = subject.needed("passages")
    other = np.concatenate([passages.near, passages.ordinary]) if len(passages.near) else passages.ordinary
    scores = [token_scores(subject, passages.pairs(ids)) for ids in (passages.memorized, other)]
    if min(map(len, scores)) < 2:
        raise ValueError(f"{len(scores[0])} memorized and {len(scores[1])} other passages; two of each are needed")
    p = p_values(*scores)
    passing, discovered = p <= LEVEL, false_discovery_control(p) <= LEVEL
    mask = subject.mask.numpy()
    return [
        EdgeTests(
            way=WAY,
            mode=subject.mode,
            level=LEVEL,
            n_memorized=len(scores[0]),
            n_other=len(scores[1]),
            graph_edges=len(p),
            passing=int(passing.sum()),
            discovered=int(discovered.sum()),
            n_edges=int(mask.sum()),
            circuit_passing=int((passing & mask).sum()),
            circuit_discovered=int((discovered & mask).sum()),
            strongest=_strongest(subject, discovered, p, *(each.mean(0) for each in scores)),
        )
    ]


def _strongest(
    subject: Subject, discovered: np.ndarray, p: np.ndarray, memorized: np.ndarray, other: np.ndarray
) -> list[Mapping[str, Any]]:
    """The discovered edges with the greatest difference of mean scores, the first one first."""
    rows = np.flatnonzero(discovered)
    order = np.argsort(-np.abs(memorized - other)[rows], kind="stable")
    return [
        {
            "edge": subject.graph.edges[i],
            "in_circuit": bool(subject.mask[i]),
            "memorized": float(memorized[i]),
            "other": float(other[i]),
            "p_value": float(p[i]),
        }
        for i in rows[order][:SHOWN].tolist()
    ]


def token_scores(subject: Subject, pairs: Pairs) -> np.ndarray:
    """float64 [pairs, n_edges]: edge scores of each passage against the twin, nats a token."""
    told: AttributionOptions = {
        "ablation": WAY.ablation,
        "objective": WAY.metric,
        "engine": subject.engine,
        "per_example": True,
    }
    found = attribute(subject.model, pairs, METHOD, **told).per_example
    assert found is not None
    return found.double().numpy() / np.array([len(pair.answer_sequence_ids) for pair in pairs])[:, None]


def p_values(memorized: np.ndarray, other: np.ndarray) -> np.ndarray:
    """float64 [n_edges], of scores [passages, n_edges]; 1 where all scores are the same."""
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):  # of scores that are all the same
        p = ttest_ind(memorized, other, equal_var=False).pvalue
    return np.nan_to_num(p, nan=1.0)


WORK = Work.whole(EdgeTests, edge_tests)
