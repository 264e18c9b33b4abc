"""Which edges are in the circuit of n edges, and which are not, whatever r documents are deleted?

A score is a mean over pairs, so what an edge's score becomes without some documents is known from the pairs' own
scores: no model is run. (Ablation values that are means, or learned, stay those of all reference pairs: a deletion
takes a document out of the scores, not out of these.) All edges lose the same pairs, so their order is that of the sums
that are left. Of an edge and a set D of at most r groups of documents (those that are drawn together,
:meth:`Pairs.components`) let N(D) be the sum of its scores over the pairs outside D; its largest and smallest values
over all D take away the r most favourable groups.

- A rival *may* outrank an edge if there is a D with |N_rival(D)| >= |N_edge(D)|. Where the edge's sign cannot change,
  this is whether the largest value of a sum, N_rival - N_edge or -N_rival - N_edge (signs such that the edge is
  positive), reaches 0; that largest value is exact. An edge with fewer than n such rivals is certified *in*.
- A rival *must* outrank it if |N_rival(D)| > |N_edge(D)| for every D, which is decided the same way. An edge with at
  least n such rivals is certified *out*.

All other edges stay open: each rival was given the deletion that suits it best, and no single deletion suits all. Equal
sums, and differences within rounding, count against the certificate. An edge with more than ``MOST_RIVALS`` undecided
rivals is compared by the bounds of both alone.

Beside the worst case, the usual one: how often an edge is among the n highest when a random half of the groups is left,
with the exact interval of Clopper and Pearson (1934); compare certified circuits by subsampling, 2026.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import beta

from memcirc.attribution.scores import EdgeScores
from memcirc.attribution.selection import check_by, check_size
from memcirc.config import check_count
from memcirc.statistics import LEVEL, check_groups

Edges = Bool[np.ndarray, " n_edges"]
Sums = Float[np.ndarray, "groups edges"]

MOST_RIVALS = 4000
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Certificate:
    """For circuits of ``n`` edges and every deletion of at most ``deleted`` groups of documents: edges that are always
    ``inside``, and those that are always ``outside``; the others are open."""

    n: int
    deleted: int
    inside: Edges
    outside: Edges


@dataclass(frozen=True, eq=False)
class Inclusion:
    """How often each edge is among the n highest of random halves of the groups: ``share`` of ``n_draws``, and its 95 %
    interval."""

    share: Float[np.ndarray, " n_edges"]
    low: Float[np.ndarray, " n_edges"]
    high: Float[np.ndarray, " n_edges"]
    n_draws: int


def certified(
    scores: EdgeScores, groups: Sequence[Sequence[int]], n: int, deleted: int, by: str = "abs"
) -> Certificate:
    """The edges whose place does not depend on any ``deleted`` groups of documents.

    Args:
        scores: with every pair's own (``attribute(..., per_example=True)``); n: edges of the circuit, the highest by
            ``by``; groups: the numbers of the pairs that stand and fall together.

    Raises:
        ValueError: no scores of the pairs or some that are not finite, groups that are not of these pairs, n or
            ``deleted`` out of range.
    """
    check_size(n, scores.graph.n_edges)
    check_by(by)
    sums = _sums(scores, groups)
    if isinstance(deleted, bool) or not isinstance(deleted, Integral) or not 0 <= deleted < len(groups):
        raise ValueError(
            f"{deleted!r} groups of documents to delete; accepted: 0 to {len(groups) - 1} of {len(groups)}"
        )
    return Certificate(n, int(deleted), *_Rivals(sums, int(deleted), by).decided(n))


def inclusion(
    scores: EdgeScores, groups: Sequence[Sequence[int]], n: int, seed: int, n_draws: int = 500, by: str = "abs"
) -> Inclusion:
    """How often each edge is among the n highest when a random half of the groups is left.

    Args:
        scores, groups, n, by: as of :func:`certified`; n_draws: random halves, drawn by ``seed``.

    Raises:
        ValueError: as :func:`certified`; fewer than two groups, no draw, a seed below 0.
    """
    check_count("n_draws", n_draws)
    check_size(n, scores.graph.n_edges)
    check_by(by)
    sums = _sums(scores, groups)
    if len(groups) < 2:
        raise ValueError("half of a single group of documents is no sample; two groups are needed")
    drawn, counts = np.random.default_rng(seed), np.zeros(sums.shape[1])
    for _ in range(n_draws):
        left = sums[drawn.choice(len(groups), len(groups) // 2, replace=False)].sum(0)
        counts[np.argsort(-(np.abs(left) if by == "abs" else left), kind="stable")[:n]] += 1
    tail = (1 - LEVEL) / 2
    low = np.where(counts > 0, beta.ppf(tail, np.maximum(counts, 1), n_draws - counts + 1), 0.0)
    high = np.where(counts < n_draws, beta.ppf(1 - tail, counts + 1, np.maximum(n_draws - counts, 1)), 1.0)
    return Inclusion(counts / n_draws, low, high, n_draws)


def _sums(scores: EdgeScores, groups: Sequence[Sequence[int]]) -> Sums:
    """Each group's sum of scores."""
    if scores.per_example is None:
        raise ValueError(
            "these scores keep no pair's own, of which certificates are made; attribute(..., per_example=True) does"
        )
    own = scores.per_example.double().cpu().numpy()
    if not np.isfinite(own).all():
        raise ValueError(f"{int((~np.isfinite(own)).any(1).sum())} of {len(own)} pairs have scores that are not finite")
    check_groups(groups, len(own))
    return np.stack([own[list(group)].sum(0) for group in groups])


class _Rivals:
    """How many edges may, and must, outrank an edge after the deletions."""

    def __init__(self, sums: Sums, deleted: int, by: str) -> None:
        lowest, highest = _least(sums, deleted), -_least(-sums, deleted)
        self._sums, self._deleted = sums, deleted
        self._slack = ROUNDING * np.abs(sums).sum(0)
        if by == "abs":
            self._signs: tuple[float, ...] = (1.0, -1.0)
            self._own_sign = np.where(sums.sum(0) < 0, -1.0, 1.0)
            self._low = np.maximum(0.0, np.maximum(lowest, -highest)) - self._slack
            self._high = np.maximum(np.abs(lowest), np.abs(highest)) + self._slack
        else:
            self._signs, self._own_sign = (1.0,), np.ones(len(lowest))
            self._low, self._high = lowest - self._slack, highest + self._slack
        self._keeps_sign = (self._low > 0) | (by == "signed")

    def decided(self, n: int) -> tuple[Edges, Edges]:
        """Which edges are certified in, and out. By the bounds of each edge alone first; the others by every undecided
        rival."""
        n_edges = len(self._low)
        below = np.searchsorted(np.sort(self._high), self._low, side="left")
        above = n_edges - np.searchsorted(np.sort(self._low), self._high, side="right")
        inside, outside = n_edges - 1 - below < n, above >= n
        for edge in np.flatnonzero(~inside & ~outside).tolist():
            rivals = np.flatnonzero((self._high >= self._low[edge]) & (self._low <= self._high[edge]))
            rivals = rivals[rivals != edge]
            if len(rivals) <= MOST_RIVALS:
                inside[edge] = self._keeps_sign[edge] and above[edge] + self._may(edge, rivals) < n
                outside[edge] = above[edge] + self._must(edge, rivals) >= n
        return inside, outside

    def _may(self, edge: int, rivals: np.ndarray) -> int:
        """How many of the rivals some deletion puts before the edge, or level with it."""
        own = self._own_sign[edge] * self._sums[:, [edge]]
        slack = self._slack[rivals] + self._slack[edge]
        margins = [_least(own - sign * self._sums[:, rivals], self._deleted) for sign in self._signs]
        return int((np.min(margins, axis=0) <= slack).sum())

    def _must(self, edge: int, rivals: np.ndarray) -> int:
        """How many of the rivals stand before the edge whatever is deleted."""
        rivals = rivals[self._keeps_sign[rivals]]
        theirs = self._own_sign[rivals] * self._sums[:, rivals]
        slack = self._slack[rivals] + self._slack[edge]
        margins = [_least(theirs - sign * self._sums[:, [edge]], self._deleted) for sign in self._signs]
        return int((np.min(margins, axis=0) > slack).sum())


def _least(sums: Sums, deleted: int) -> Float[np.ndarray, " edges"]:
    """The smallest total that is left after any deletion: without the groups that add most."""
    if not deleted:
        return np.asarray(sums.sum(0))
    largest = np.partition(sums, len(sums) - deleted, axis=0)[len(sums) - deleted :]
    return np.asarray(sums.sum(0) - np.maximum(largest, 0).sum(0))
