"""Stability: circuits found again from other documents, and other splits."""

import math
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.pairs.record import Pairs
from memcirc.statistics import resample_counts
from memcirc.verification.curves import log_grid
from memcirc.verification.stability import _found_again, _smallest, jaccard, stability
from tests.verification.subjects import OWN_WAYS, subject


def test_jaccard_is_shared_over_either() -> None:
    some = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 1]]).bool()
    assert jaccard(some, some).tolist() == [[1, 0], [0, 1]]
    assert jaccard(some[:1], torch.tensor([[1, 0, 1, 0]]).bool())[0, 0] == pytest.approx(1 / 3)


@pytest.mark.parametrize("options", OWN_WAYS)
def test_rediscovery_is_attribution_on_resampled_documents(options: dict[str, object]) -> None:
    """The fast way averages rows of scores; here every resample is attributed anew."""
    made = subject(attribution=options, settings={"n_rediscoveries": 4})
    assert made.train is not None
    row = stability(made)[0]
    overlaps, every, found_again = [], made.mask, Counter[str]()
    for counts in resample_counts(made.train.components(), 4, made.settings.seed):
        drawn = Pairs(tuple(p for p, n in zip(made.train, counts, strict=True) for _ in range(int(n))))
        again = attribute(made.model, drawn, "eap", **options).top(len(made.circuit))
        overlaps.append(len(again.edges & made.circuit.edges) / len(again.edges | made.circuit.edges))
        found_again.update(again.edges)
        every = every & again.mask(made.graph)
    assert row.jaccard_found == pytest.approx(np.mean(overlaps))
    assert row.core >= int(every.sum())
    assert row.found_again == {name: found_again[name] / 4 for name in made.circuit}
    assert row.low <= row.faithfulness <= row.high


def test_circuits_of_no_edges_overlap_with_nothing() -> None:
    assert jaccard(torch.zeros(1, 4).bool(), torch.zeros(1, 4).bool()).tolist() == [[0]]


def test_other_splits_are_drawn_from_all_pairs_and_only_where_there_are_others() -> None:
    made = subject(settings={"n_rediscoveries": 3, "n_splits": 2})
    row = stability(made)[0]
    assert (row.n_splits, row.n_rediscoveries, row.n_edges) == (2, 3, 30)
    assert made.train is not None
    everything = Pairs((*made.train.items, *made.pairs.items), made.train.header)
    overlaps = []
    for seed in (1, 2):
        again = attribute(made.model, everything.split(seed=seed)[0], "eap").top(30)
        overlaps.append(len(again.edges & made.circuit.edges) / len(again.edges | made.circuit.edges))
    assert row.jaccard_splits == pytest.approx(np.mean(overlaps))
    alone = stability(replace(made, pairs=made.train))[0]
    assert (alone.n_splits, alone.jaccard_splits) == (0, None)


def test_overlaps_of_rediscoveries_are_told_by_mean_lowest_and_among_themselves() -> None:
    made = subject(settings={"n_rediscoveries": 4})
    masks = _found_again(made)[0]
    circuits = [{int(i) for i in mask.nonzero()[:, 0]} for mask in masks]
    own = {int(i) for i in made.mask.nonzero()[:, 0]}

    def overlap(a: set[int], b: set[int]) -> float:
        return len(a & b) / len(a | b)

    row = stability(made)[1]
    found = [overlap(circuit, own) for circuit in circuits]
    assert (row.jaccard_found, row.jaccard_lowest) == pytest.approx((np.mean(found), min(found)))
    assert row.jaccard_pairwise == pytest.approx(np.mean([overlap(a, b) for a, b in combinations(circuits, 2)]))
    assert row.core == len(set.intersection(*circuits))
    assert row.reverse is True


@pytest.mark.parametrize("target", [0.2, 0.85, 1e9])
def test_the_smallest_size_is_the_first_of_the_grid_that_reaches_the_target(target: float) -> None:
    made = subject(settings={"target": target, "n_resamples": 60})
    smallest, low, high, never = _smallest(made, reverse=False)
    runner, sizes = made.runner(), log_grid(made.graph.n_edges, 12)
    values = runner.faithfulness(made.ranking.masks(sizes)).tolist()
    reached = [size for size, value in zip(sizes, values, strict=True) if value >= target]
    assert smallest == (reached[0] if reached else None)
    per_pair = runner.per_pair(made.ranking.masks(sizes)).double().numpy()
    nothing, everything = runner.end_values().double().numpy()
    draws = []
    for counts in resample_counts(made.pairs.components(), 60, made.settings.seed):
        ratio = (per_pair @ counts - nothing @ counts) / (everything @ counts - nothing @ counts)
        draws.append(next((size for size, value in zip(sizes, ratio, strict=True) if value >= target), None))
    missing = sum(draw is None for draw in draws) / len(draws)
    assert never == pytest.approx(missing)
    if smallest is None or missing > 0.1:
        assert (low, high) == (None, None)
    else:
        bounds = np.quantile([draw for draw in draws if draw is not None], [0.025, 0.975])
        assert (low, high) == (math.floor(bounds[0]), math.ceil(bounds[1]))
