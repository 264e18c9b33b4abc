from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memcirc.attribution.attribute import attribute
from memcirc.attribution.scores import EdgeScores, Ranking
from memcirc.circuit import Circuit, connected
from memcirc.circuits.runner import circuit_runner
from memcirc.graph import Graph, GraphShape
from memcirc.verification.drawing import (
    KINDS,
    connected_circuits,
    disconnected_share,
    edge_classes,
    matched_circuits,
    random_circuits,
    uniform_circuits,
)
from memcirc.verification.random_circuits import (
    Draw,
    check_enough,
    compare_with_random,
    per_pair_of_many,
    rank_among,
    spread,
)
from tests.models import random_pairs, small_model

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


def test_a_disconnected_circuit_keeps_exactly_nothing_in_tree_mode() -> None:
    model, pairs = small_model("gpt2"), random_pairs(3)
    runner = circuit_runner(model, pairs, mode="tree")
    masks = uniform_circuits(runner.graph, 3, 40, seeded())
    alone = [mask for mask in masks if disconnected_share(runner.graph, mask[None])]
    assert alone
    assert runner.faithfulness(torch.stack(alone)).abs().max() < 1e-9


@pytest.mark.parametrize("mode", ["tree", "edge"])
@pytest.mark.parametrize("ablation", ["resample", "zero"])
def test_many_circuits_are_measured_as_one_by_one(mode: str, ablation: str) -> None:
    model, pairs = small_model("gpt_neo"), random_pairs(3)
    runner = circuit_runner(model, pairs, mode=mode, ablation=ablation)
    masks = torch.cat([uniform_circuits(runner.graph, n, 4, seeded(n)) for n in (2, 30, 90)]).repeat(2, 1)
    fast, slow = per_pair_of_many(runner, masks, "logit_diff"), runner.per_pair(masks).double()
    assert torch.allclose(fast, slow, atol=1e-9)


def test_the_p_value_counts_the_circuit_itself() -> None:
    values = np.array([0.1, 0.2, 0.9, 0.3])
    assert rank_among(0.3, values) == {"quantile": 0.5, "p_value": 3 / 5}
    assert rank_among(1.0, values) == {"quantile": 1.0, "p_value": 1 / 5}


def test_the_spread_of_one_circuit_has_no_deviation() -> None:
    assert spread(np.array([0.5])) == {"mean": 0.5, "std": 0.0, "q05": 0.5, "median": 0.5, "q95": 0.5, "highest": 0.5}


def test_p_values_hold_their_level_for_circuits_that_are_random_themselves() -> None:
    """Under the null the found circuit is a draw like the others: p <= .05 in about one case of twenty."""
    values = np.random.default_rng(0).normal(size=(4000, 20))
    rejections = sum(rank_among(row[0], row[1:])["p_value"] <= 0.05 for row in values)
    assert abs(rejections / 4000 - 0.05) < 3.5 * (0.05 * 0.95 / 4000) ** 0.5


def test_a_p_value_of_too_few_circuits_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"10 random circuits is at least 0.091; at least 19"):
        check_enough(10)
    check_enough(19)


def test_a_comparison_states_how_much_of_the_circuit_its_rivals_share() -> None:
    model, pairs = small_model("gpt2"), random_pairs(3)
    scores = attribute(model, pairs, "eap")
    runner, whole = circuit_runner(model, pairs, mode="tree"), scores.top(scores.graph.n_edges)
    row = compare_with_random(runner, whole, "logit_diff", Draw("matched", 20))
    assert (row.overlap, row.p_value, row.found) == pytest.approx((1, 1, 1))
    small = compare_with_random(runner, scores.top(20), "logit_diff", Draw(n_random=20))
    assert 0 < small.overlap < 0.5
