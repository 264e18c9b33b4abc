"""Certificates against every deletion: never contradicted, and how many edges are left open that need not be."""

from collections.abc import Sequence
from itertools import chain, combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from memcirc.attribution.certificates import certified, inclusion
from memcirc.attribution.scores import EdgeScores
from memcirc.graph import Graph, GraphShape

GRAPH = Graph(GraphShape(n_layers=1, n_heads=2, n_kv_heads=2, has_mlp=True, parallel=False))
GROUPS = [[0, 3], [1], [2, 4, 5], [6], [7], [8], [9]]


def scores_of(own: torch.Tensor) -> EdgeScores:
    return EdgeScores(GRAPH, own.mean(0), {}, own)


def drawn(seed: int, noise: float, n_pairs: int = 10) -> EdgeScores:
    """Scores that share a part over pairs, as scores do."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(GRAPH.n_edges, generator=generator).double()
    return scores_of(shared + noise * torch.randn(n_pairs, GRAPH.n_edges, generator=generator).double())


def tops(scores: EdgeScores, groups: Sequence[Sequence[int]], n: int, deleted: int, by: str) -> np.ndarray:
    """bool [deletions, n_edges]: the n highest after each deletion of at most so many groups."""
    found = []
    for gone in chain.from_iterable(combinations(range(len(groups)), k) for k in range(deleted + 1)):
        left = [member for number, group in enumerate(groups) if number not in gone for member in group]
        assert scores.per_example is not None
        again = scores_of(scores.per_example[left]).order(by)[:n]
        found.append(np.isin(np.arange(GRAPH.n_edges), again.numpy()))
    return np.stack(found)


@given(
    st.integers(0, 10**6), st.floats(0.01, 3), st.integers(0, GRAPH.n_edges), st.integers(0, 3),
    st.sampled_from(["abs", "signed"]),
)  # fmt: skip
def test_no_deletion_contradicts_a_certificate(seed: int, noise: float, n: int, deleted: int, by: str) -> None:
    scores = drawn(seed, noise)
    found, every = certified(scores, GROUPS, n, deleted, by), tops(scores, GROUPS, n, deleted, by)
    assert not (found.inside & ~every.all(0)).any()
    assert not (found.outside & every.any(0)).any()
    assert found.inside.sum() <= n <= GRAPH.n_edges - found.outside.sum()


@given(st.integers(0, 10**6), st.integers(1, GRAPH.n_edges))
def test_without_a_deletion_every_edge_is_in_or_out(seed: int, n: int) -> None:
    scores = drawn(seed, 1.0)
    found = certified(scores, GROUPS, n, 0)
    assert found.inside.tolist() == scores.top(n).mask(GRAPH).tolist()
    assert (found.inside ^ found.outside).all()


@pytest.mark.parametrize(("deleted", "least"), [(1, 0.9), (2, 0.8)])
def test_most_edges_that_no_deletion_moves_are_certified(deleted: int, least: float) -> None:
    """Brute force is what is best possible."""
    kept, possible = 0, 0
    for seed in range(40):
        scores = drawn(seed, 0.5)
        found, every = certified(scores, GROUPS, 10, deleted), tops(scores, GROUPS, 10, deleted, "abs")
        possible += int(every.all(0).sum() + (~every.any(0)).sum())
        kept += int(found.inside.sum() + found.outside.sum())
    assert kept >= least * possible


def test_equal_edges_are_left_open() -> None:
    """Whichever comes first in order would be taken: that is no property of the edges."""
    own = torch.ones(10, GRAPH.n_edges).double()
    found = certified(scores_of(own), GROUPS, 5, 1)
    assert not found.inside.any()
    assert not found.outside.any()


def test_a_deletion_by_hand() -> None:
    """Three documents; the first edge has 3, 3, 3 (9 in all), the second 10, 1, 1 (12), the others nothing. Without the
    first document it is 6 against 2, without another 6 against 11: the two change places, and no other edge takes one.
    With 10, -1, -1 the second may change its sign, and is left open."""
    own = torch.zeros(3, GRAPH.n_edges).double()
    own[:, 0], own[:, 1] = torch.tensor([3.0, 3, 3]), torch.tensor([10.0, 1, 1])
    one = certified(scores_of(own), [[0], [1], [2]], 1, 1)
    assert not one.inside.any()
    assert one.outside.tolist() == [False, False, *[True] * (GRAPH.n_edges - 2)]
    both = certified(scores_of(own), [[0], [1], [2]], 2, 1)
    assert both.inside.tolist() == [True, True, *[False] * (GRAPH.n_edges - 2)]
    assert certified(scores_of(own), [[0], [1], [2]], 1, 0).inside[1]
    own[:, 1] = torch.tensor([10.0, -1, -1])
    assert not certified(scores_of(own), [[0], [1], [2]], 2, 1).inside[1]


def test_inclusion_counts_random_halves_with_exact_intervals() -> None:
    scores = drawn(3, 1.0)
    found = inclusion(scores, GROUPS, 8, seed=1, n_draws=200)
    assert found.share.sum() == pytest.approx(8)
    for share, low, high in zip(found.share, found.low, found.high, strict=True):
        exact = binomtest(round(share * 200), 200).proportion_ci(0.95, method="exact")
        assert (low, high) == pytest.approx((exact.low, exact.high))
    again = inclusion(scores, GROUPS, 8, seed=1, n_draws=200)
    assert (again.share == found.share).all()


def test_what_cannot_be_certified_is_refused_in_a_line() -> None:
    scores = drawn(0, 1.0)
    for deleted in (-1, len(GROUPS), True):
        with pytest.raises(ValueError, match="accepted: 0 to 6 of 7"):
            certified(scores, GROUPS, 5, deleted)
    with pytest.raises(ValueError, match=r"attribute\(..., per_example=True\) does"):
        certified(EdgeScores(GRAPH, scores.values), GROUPS, 5, 1)
    with pytest.raises(ValueError, match="do not hold each of the 10 scored pairs once"):
        certified(scores, GROUPS[1:], 5, 1)
    with pytest.raises(ValueError, match="edges asked for"):
        certified(scores, GROUPS, GRAPH.n_edges + 1, 1)
    with pytest.raises(ValueError, match="selection by 'other'"):
        certified(scores, GROUPS, 5, 1, by="other")
    with pytest.raises(ValueError, match="two groups are needed"):
        inclusion(scores_of(torch.ones(2, GRAPH.n_edges)), [[0, 1]], 5, seed=0)
    for n_draws in (0, -1):
        with pytest.raises(ValueError, match=f"n_draws is {n_draws}; at least 1 is needed"):
            inclusion(scores, GROUPS, 5, seed=0, n_draws=n_draws)
    endless = scores.per_example.clone() if scores.per_example is not None else torch.zeros(0)
    endless[0, 0] = float("inf")
    with pytest.raises(ValueError, match="1 of 10 pairs have scores that are not finite"):
        certified(scores_of(endless), GROUPS, 5, 1)


@pytest.mark.slow
def test_ten_thousand_adversarial_deletions_contradict_nothing() -> None:
    """Of 60 groups, at r = 1 to 8: those that lower the certified edge nearest to falling out, and random ones."""
    contradicted, tried = 0, 0
    groups = [[i] for i in range(60)]
    for seed in range(50):
        scores = drawn(seed, 1.5, n_pairs=60)
        assert scores.per_example is not None
        own = scores.per_example.numpy()
        for deleted in (1, 2, 4, 8):
            found, chosen = certified(scores, groups, 10, deleted), np.random.default_rng(seed)
            for edge in chosen.integers(0, GRAPH.n_edges, 50):
                against = np.sign(own[:, edge].sum()) * own[:, edge] - np.abs(own[:, chosen.integers(GRAPH.n_edges)])
                gone = np.argsort(-against)[:deleted] if tried % 2 else chosen.choice(60, deleted, replace=False)
                top = np.zeros(GRAPH.n_edges, bool)
                top[np.argsort(-np.abs(np.delete(own, gone, 0).sum(0)), kind="stable")[:10]] = True
                contradicted += int((found.inside & ~top).any() or (found.outside & top).any())
                tried += 1
    assert (contradicted, tried) == (0, 10_000)
