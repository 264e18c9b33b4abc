"""Random circuits: how many edges, of which kind, and how often each."""

import random
from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memcirc.attribution.scores import EdgeScores, Ranking
from memcirc.circuit import Circuit, connected
from memcirc.graph import Graph, GraphShape, node_of
from memcirc.verification.drawing import (
    KINDS,
    Paths,
    connected_circuits,
    disconnected_share,
    edge_classes,
    matched_circuits,
    random_circuits,
    shuffled_circuits,
    uniform_circuits,
)

GRAPH = Graph(GraphShape(2, 2, 2))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", KINDS)
@given(n=st.integers(1, GRAPH.n_edges), seed=st.integers(0, 5))
@settings(max_examples=25)
def test_random_circuits_have_exactly_n_edges_and_follow_the_seed(kind: str, n: int, seed: int) -> None:
    scores = EdgeScores(GRAPH, torch.randn(GRAPH.n_edges, generator=seeded(1)))
    mask = scores.top(n).mask(GRAPH)
    first, again = (random_circuits(kind, GRAPH, mask, 4, seeded(seed), Ranking(scores)) for _ in range(2))
    assert first.sum(1).tolist() == [n] * 4
    assert torch.equal(first, again)


def test_every_edge_is_drawn_equally_often() -> None:
    masks = uniform_circuits(GRAPH, 5, 4000, seeded()).double()
    expected = 5 / GRAPH.n_edges
    deviation = (masks.mean(0) - expected).abs() / (expected * (1 - expected) / 4000) ** 0.5
    assert deviation.max() < 4.5


@given(n=st.integers(1, GRAPH.n_edges), seed=st.integers(0, 9))
@settings(max_examples=40)
def test_every_edge_of_a_connected_circuit_lies_on_a_path(n: int, seed: int) -> None:
    for mask in connected_circuits(GRAPH, n, 3, seeded(seed)):
        assert torch.equal(connected(GRAPH, mask), mask)


def test_a_connected_circuit_of_one_edge_is_the_direct_one() -> None:
    masks = connected_circuits(GRAPH, 1, 5, seeded())
    assert masks.nonzero()[:, 1].tolist() == [GRAPH.index("input->logits")] * 5


def test_two_connected_edges_are_one_path_through_one_node() -> None:
    for mask in connected_circuits(GRAPH, 2, 20, seeded()):
        first, second = (GRAPH.edges[i] for i in mask.nonzero()[:, 0].tolist())
        assert first.startswith("input->")
        assert second == f"{first.removeprefix('input->').split('<')[0]}->logits"


def test_matched_circuits_have_the_same_edges_between_layers_and_types() -> None:
    mask = uniform_circuits(GRAPH, 12, 1, seeded(3))[0]
    classes = edge_classes(GRAPH)
    for other in matched_circuits(GRAPH, mask, 10, seeded()):
        assert Counter(classes[other].tolist()) == Counter(classes[mask].tolist())


def test_edge_classes_are_layers_and_types() -> None:
    """Graph of 2 layers of 2 heads, by hand: both heads' queries are one class, another than the keys."""
    classes = edge_classes(GRAPH)
    same = [classes[GRAPH.index(name)] for name in ("a0.h0->a1.h0<q>", "a0.h1->a1.h0<q>", "a0.h0->a1.h1<q>")]
    assert len(set(map(int, same))) == 1
    others = [
        classes[GRAPH.index(name)] for name in ("a0.h0->a1.h0<k>", "m0->a1.h0<q>", "input->a1.h0<q>", "a0.h0->m1")
    ]
    assert len({*map(int, others), int(same[0])}) == 5


def test_shuffled_scores_stay_with_their_destination() -> None:
    """Scores that single out one destination: its edges are all taken, whatever the shuffle."""
    into = GRAPH.edge_destination == GRAPH.destinations.index("m1")
    scores = EdgeScores(GRAPH, into.double())
    n = int(into.sum())
    for mask in random_circuits("shuffled", GRAPH, into, 5, seeded(), Ranking(scores)):
        assert torch.equal(mask, into)
    some = random_circuits("shuffled", GRAPH, scores.top(n + 3).mask(GRAPH), 5, seeded(), Ranking(scores))
    assert all(int((mask & into).sum()) == n for mask in some)


def test_shuffled_circuits_without_scores_and_unknown_kinds_are_refused() -> None:
    mask = uniform_circuits(GRAPH, 3, 1, seeded())[0]
    with pytest.raises(ValueError, match="'shuffled' need the scores"):
        random_circuits("shuffled", GRAPH, mask, 2, seeded())
    with pytest.raises(ValueError, match="kind of random circuits 'fancy' is not known; accepted: uniform, connected"):
        random_circuits("fancy", GRAPH, mask, 2, seeded())


def test_the_disconnected_share_counts_circuits_without_a_path() -> None:
    with_path, without = (Circuit.from_edges(e).mask(GRAPH) for e in (["input->logits"], ["input->m0", "m1->logits"]))
    assert disconnected_share(GRAPH, torch.stack([with_path, without])) == 0.5


def walk(seed: int = 0) -> Paths:
    return Paths(GRAPH, random.Random(seed))


def test_a_path_leads_edge_by_edge_from_the_input_to_the_logits() -> None:
    for seed in range(20):
        names = [GRAPH.edges[i].split("->") for i in walk(seed).path()]
        assert names[0][1] == "logits"
        assert names[-1][0] == "input"
        for (source, _), (_, destination) in pairwise(names):
            assert node_of(destination) == source


def test_edges_between_nodes_at_hand_are_those_not_chosen_yet() -> None:
    paths = walk()
    nodes = {paths.order[name] for name in ("input", "a0.h0", "logits")}
    chosen = {GRAPH.index("input->logits")}
    found = {GRAPH.edges[i] for i in paths._between(nodes, chosen)}
    assert found == {"input->a0.h0<q>", "input->a0.h0<k>", "input->a0.h0<v>", "a0.h0->logits"}


def test_where_no_path_fits_any_more_edges_between_its_nodes_fill_up() -> None:
    """Of a graph of one head and no MLP, n = all 5 edges: every path is used up after three."""
    tiny = Graph(GraphShape(1, 1, 1, has_mlp=False))
    for n in range(1, tiny.n_edges + 1):
        if n == 4:
            continue
        (mask,) = connected_circuits(tiny, n, 1, seeded(n))
        assert int(mask.sum()) == n
        assert torch.equal(connected(tiny, mask), mask)
    assert len(walk().union(GRAPH.n_edges)) == GRAPH.n_edges


def test_matched_circuits_take_every_member_of_a_class_equally_often() -> None:
    mask = Circuit.from_edges(["input->a0.h0<q>"]).mask(GRAPH)
    drawn = [GRAPH.edges[int(row.nonzero())] for row in matched_circuits(GRAPH, mask, 400, seeded())]
    count = Counter(drawn)
    assert set(count) == {"input->a0.h0<q>", "input->a0.h1<q>"}
    assert abs(count["input->a0.h0<q>"] - 200) < 4 * 10


def test_shuffles_permute_the_scores_of_each_destination_evenly() -> None:
    """One edge into logits has the only score: each of the edges into logits is drawn as often as another."""
    into = (GRAPH.edge_destination == GRAPH.destinations.index("logits")).nonzero()[:, 0]
    values = torch.zeros(GRAPH.n_edges, dtype=torch.float64)
    values[into[0]] = 1
    masks = shuffled_circuits(Ranking(EdgeScores(GRAPH, values)), 1, 700, seeded())
    counts = masks.sum(0)
    assert int(counts[into].sum()) == 700
    expected = 700 / len(into)
    assert (counts[into] - expected).abs().max() < 4.5 * expected**0.5


def test_a_shuffle_takes_the_highest_by_the_circuits_own_rule() -> None:
    values = torch.zeros(GRAPH.n_edges, dtype=torch.float64)
    values[GRAPH.index("input->a0.h0<q>")], values[GRAPH.index("input->a0.h1<q>")] = -2, 1
    scores = EdgeScores(GRAPH, values)
    for by, name in (("abs", "input->a0.h0<q>"), ("signed", "input->a0.h1<q>")):
        (mask,) = shuffled_circuits(Ranking(scores, by), 1, 1, seeded())
        assert GRAPH.edges[int(mask.nonzero())] == name
