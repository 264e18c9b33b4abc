"""Circuits without what they can spare: against all subsets, and what the certificate says."""

from collections.abc import Callable
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from memcirc.circuits.refine import TRIED, Refinement, refined

Value = Callable[[frozenset[int]], float]


def margins_of(value: Value) -> Callable[[Tensor], Tensor]:
    return lambda masks: torch.tensor([value(frozenset(mask.nonzero()[:, 0].tolist())) for mask in masks])


def everything(value: Value, n: int, most: int = 10_000) -> Refinement:
    return refined(margins_of(value), [torch.ones(n, dtype=torch.bool)], [torch.arange(n)], most)


def edges_of(found: Refinement) -> set[int]:
    return set(found.mask.nonzero()[:, 0].tolist())


@st.composite
def games(draw: st.DrawFn) -> tuple[int, Value]:
    """A value of sets of edges with weights of both signs, and pairs that count only together."""
    n = draw(st.integers(1, 9))
    weights = draw(st.lists(st.integers(-3, 6), min_size=n, max_size=n))
    pairs = draw(
        st.dictionaries(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), st.integers(-4, 6), max_size=6)
    )

    def value(edges: frozenset[int]) -> float:
        together = sum(weight for (a, b), weight in pairs.items() if {a, b} <= edges)
        return float(sum(weights[edge] for edge in edges) + together)

    asked = value(frozenset(range(n))) - draw(st.integers(0, 12))
    return n, lambda edges: value(edges) - asked


@given(games())
def test_every_single_removal_was_measured_and_falls_short(game: tuple[int, Value]) -> None:
    n, value = game
    found = everything(value, n)
    edges = frozenset(edges_of(found))
    assert value(edges) == found.margin >= 0
    left = sorted((value(edges - {edge}) for edge in edges), reverse=True)
    assert found.certified
    assert found.without is not None
    assert found.without.tolist() == left
    assert all(margin < 0 for margin in left)
    assert found.closest == (left[0] if left else None)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=9), st.integers(0, 60))
def test_of_edges_that_add_up_the_smallest_set_is_found(weights: list[int], spare: int) -> None:
    """Brute force over all subsets."""
    asked = max(0, sum(weights) - spare)
    found = everything(lambda edges: float(sum(weights[edge] for edge in edges) - asked), len(weights))
    sizes = (k for k in range(len(weights) + 1) for some in combinations(weights, k) if sum(some) >= asked)
    assert found.n_edges == next(sizes)


def test_an_edge_that_stands_in_for_two_is_put_back() -> None:
    """Without edge 0 the others need one another; each removal alone leaves enough at first, and 0 is the first to go:
    only by adding it back is {0, 1} found."""
    value = {frozenset({0, 1}): 0.0, frozenset({1, 2, 3}): 0.0, frozenset({0, 1, 2}): 0.1, frozenset({0, 1, 3}): 0.1,
             frozenset({0, 1, 2, 3}): 0.2}  # fmt: skip

    def margin(edges: frozenset[int]) -> float:
        return value.get(edges, -0.05)

    found = refined(margins_of(margin), [torch.tensor([False, True, True, True])], [torch.arange(4)], 1000)
    assert edges_of(found) == {0, 1}


@pytest.mark.parametrize(("size", "tried"), [(3, 3), (40, TRIED)])
def test_an_exchange_tries_the_first_edges_outside_of_the_ranking_alone(size: int, tried: int) -> None:
    """All add as much; those further down the ranking are not measured, however many there are."""
    n, asked = 100, set[int]()

    def margins(masks: Tensor) -> Tensor:
        asked.update(masks.any(0).nonzero()[:, 0].tolist())
        return masks[:, :size].all(1).float() - 1 + 0.001 * masks[:, size:].sum(1)

    found = refined(margins, [torch.arange(n) < size], [torch.arange(n)], 1000)
    assert edges_of(found) == set(range(size))
    assert asked == set(range(size + tried))


def test_the_best_of_several_starts_is_returned_and_one_that_falls_short_is_passed_over() -> None:
    def margin(edges: frozenset[int]) -> float:
        return 0.0 if edges >= {0, 1, 2} or edges >= {3} else -1.0

    starts = [torch.tensor(row) for row in ([True, True, True, False], [False] * 4, [False, False, False, True])]
    found = refined(margins_of(margin), starts, [torch.arange(4)] * 3, 1000)
    assert edges_of(found) == {3}
    with pytest.raises(ValueError, match=r"keeps 1 less than its target"):
        refined(margins_of(margin), starts[1:], [torch.arange(4)] * 2, 1000)


def test_a_start_that_rounding_puts_below_its_target_is_refined_all_the_same() -> None:
    """Alone it reached the target; beside others the last digits differ."""

    def margin(edges: frozenset[int]) -> float:
        return {frozenset({0, 1, 2}): -3e-8, frozenset({0, 1}): 0.2}.get(edges, -1.0)

    found = refined(margins_of(margin), [torch.ones(3, dtype=torch.bool)], [torch.arange(3)], 1000)
    assert (edges_of(found), found.margin, found.certified) == ({0, 1}, pytest.approx(0.2), True)
    none_less = refined(lambda masks: margins_of(margin)(masks).clamp(max=-3e-8), [torch.ones(3, dtype=torch.bool)],
                        [torch.arange(3)], 1000)  # fmt: skip
    assert (none_less.n_edges, none_less.certified) == (3, True)


def test_large_circuits_are_cut_in_blocks_and_few_circuits_are_measured() -> None:
    needed = {7, 400, 999}
    found = everything(lambda edges: 0.0 if edges >= needed else -1.0, 1000)
    assert edges_of(found) == needed
    assert found.circuits < 400


@given(st.integers(0, 60))
def test_where_no_more_may_be_measured_the_smallest_so_far_is_returned_without_a_certificate(most: int) -> None:
    measured = 0

    def margins(masks: Tensor) -> Tensor:
        nonlocal measured
        measured += len(masks)
        return masks[:, :8].all(1).float() - 1

    found = refined(margins, [torch.ones(30, dtype=torch.bool)], [torch.arange(30)], most)
    assert found.circuits == measured <= most + 1
    assert edges_of(found) >= set(range(8))
    assert found.certified == (found.n_edges == 8 and found.without is not None)
    assert (most < 30) <= (found.n_edges == 30)
