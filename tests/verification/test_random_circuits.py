import numpy as np
import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.circuits.runner import circuit_runner
from memcirc.verification.drawing import (
    disconnected_share,
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


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
