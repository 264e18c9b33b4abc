"""The search with two constraints, on harms that are known."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memcirc.attribution.scores import EdgeScores
from memcirc.circuits.specific import Harm, find_specific, undominated
from memcirc.graph import Graph, GraphShape

GRAPH = Graph(GraphShape(1, 1, 1))
N = GRAPH.n_edges


def scores(values: Tensor) -> EdgeScores:
    return EdgeScores(GRAPH, values, {"method": "eap"})


class Additive:
    """Each edge adds its own to both kinds of text; counts what is measured."""

    def __init__(self, own: Tensor, other: Tensor) -> None:
        self.each, self.measured = torch.stack([own, other]).double(), 0

    def __call__(self, masks: Tensor) -> Tensor:
        self.measured += len(masks)
        return self.each @ masks.double().T


def test_edges_that_both_kinds_need_are_left_in() -> None:
    """The edge that matters most to memorized text matters to all; two others are memorized text's alone."""
    own, other = torch.zeros(N), torch.full((N,), 0.01)
    own[:3], other[:3] = torch.tensor([3.0, 0.4, 0.3]), torch.tensor([5.0, 0.0, 0.0])
    found = find_specific(Additive(own, other), scores(own), scores(other), at_least=0.6, at_most=0.05)
    assert (found.met, found.certified) == (True, True)
    assert found.circuit.edges == set(GRAPH.edges[1:3])
    assert (found.harm.n_edges, found.harm.memorized, found.harm.other) == (2, pytest.approx(0.7), pytest.approx(0))
    assert found.circuit.origin["specific"] == {"at_least": 0.6, "at_most": 0.05, "met": True}


def test_where_there_is_none_the_closest_is_returned_with_what_was_measured() -> None:
    own, other = torch.linspace(1, 2, N), torch.linspace(1, 2, N)
    harms = Additive(own, other)
    found = find_specific(harms, scores(own), scores(other), at_least=1.0, at_most=0.5, weights=(0.0, 1.0))
    assert (found.met, found.certified, found.circuits) == (False, False, harms.measured)
    assert found.harm.memorized == pytest.approx(found.harm.other)
    assert all(harm.memorized == pytest.approx(harm.other) for harm in found.tradeoff)


@given(
    values=st.lists(st.tuples(st.integers(-3, 9), st.integers(-3, 9)), min_size=N, max_size=N), bound=st.integers(0, 6)
)
@settings(max_examples=40)
def test_what_is_found_holds_and_no_single_edge_can_be_spared(values: list[tuple[int, int]], bound: int) -> None:
    own, other = (torch.tensor(column, dtype=torch.float64) for column in zip(*values, strict=True))
    if not own.any() or not other.any():
        return
    harms = Additive(own, other)
    found = find_specific(harms, scores(own), scores(other), at_least=bound + 1.0, at_most=float(bound))
    mask = torch.tensor([edge in found.circuit.edges for edge in GRAPH.edges])
    memorized, spared = harms(mask[None])[:, 0].tolist()
    assert (found.harm.memorized, found.harm.other) == (pytest.approx(memorized), pytest.approx(spared))
    assert found.met == (memorized >= bound + 1 and spared <= bound)
    every = torch.tensor(list(product([False, True], repeat=N)))
    reachable = bool(((harms(every)[0] >= bound + 1) & (harms(every)[1] <= bound)).any())
    assert reachable or not found.met
    if found.certified:
        for edge in mask.nonzero()[:, 0]:
            less = mask.clone()
            less[edge] = False
            own_harm, other_harm = harms(less[None])[:, 0].tolist()
            assert own_harm < bound + 1 or other_harm > bound


def test_the_tradeoff_is_what_none_beats() -> None:
    drawn = np.random.default_rng(0).integers(0, 10, (60, 2)).tolist()
    measured = [Harm(i, 0.0, float(own), float(other)) for i, (own, other) in enumerate(drawn)]
    kept = undominated(measured)
    for harm in measured:
        beaten = [k for k in kept if k.memorized >= harm.memorized and k.other <= harm.other]
        assert beaten, "every circuit is one of them or beaten by one"
    assert all(a.memorized < b.memorized and a.other < b.other for a, b in pairwise(kept))


def test_errors() -> None:
    ones = scores(torch.ones(N))
    harms = Additive(torch.ones(N), torch.ones(N))
    with pytest.raises(ValueError, match="the first must be more"):
        find_specific(harms, ones, ones, at_least=0.1, at_most=0.1)
    with pytest.raises(ValueError, match="no weights"):
        find_specific(harms, ones, ones, at_least=1.0, at_most=0.0, weights=())
    with pytest.raises(ValueError, match="n_sizes is 0"):
        find_specific(harms, ones, ones, at_least=1.0, at_most=0.0, n_sizes=0)
