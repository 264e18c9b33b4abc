"""Splits by person, both circuits on a tiny pair of models, and what they keep of groups."""

from unittest.mock import create_autospec

import numpy as np
import pytest
import torch

from memcirc.circuits.runner import CircuitRunner, circuit_runner
from memcirc.graph import graph_of
from memcirc.models import Model
from memcirc.pairs.record import Pair, Pairs, TooFewPairs
from memcirc.studies.pii.circuit_results import FoundCircuit
from memcirc.studies.pii.found_circuits import _share, find_circuits, found_anew, kept_by_group, split_by_person
from memcirc.studies.pii.samples import pairs_of
from memcirc.studies.pii.two_models import LOGPROB, TwoModels
from memcirc.twins import beside
from tests.studies.pii.made import measurement


@pytest.fixture(scope="session")
def model(two: TwoModels) -> Model:
    return beside(two.target, two.control)


def people(n: int) -> Pairs:
    return Pairs(tuple(Pair((i,), (i,), (0,), (0,), (0,), doc_id=f"person {i}") for i in range(n)))


@pytest.mark.parametrize(
    ("n", "sizes"), [(3, (1, 1, 1)), (7, (3, 2, 2)), (8, (2, 1, 5)), (11, (4, 2, 5)), (19, (9, 5, 5)), (20, (10, 5, 5))]
)
def test_as_many_people_as_an_interval_needs_are_for_the_test(n: int, sizes: tuple[int, int, int]) -> None:
    for seed in range(3):
        parts = split_by_person(people(n), seed)
        assert tuple(map(len, parts)) == sizes
        assert len({pair.doc_id for part in parts for pair in part}) == n


def test_two_people_are_too_few() -> None:
    with pytest.raises(TooFewPairs, match="2 pairs form 2 unrelated"):
        split_by_person(people(2))


def test_both_circuits_reach_the_target_on_what_they_were_sized_on(two: TwoModels, model: Model) -> None:
    pairs = pairs_of(two.samples)
    train, validation, test = split_by_person(pairs)
    both = find_circuits(model, train, validation, test)
    for found, mode, reverse in zip(both, ("tree", "edge"), (False, True), strict=True):
        assert found.validation >= 0.85
        ways = {"mode": mode, "reverse": reverse, "ablation": "twin"}
        assert {name: getattr(found.test.way, name) for name in ways} == ways
        runner = circuit_runner(model, test, mode=mode, reverse=reverse, ablation="twin")
        assert found.test.faithfulness == pytest.approx(float(runner.faithfulness([found.edges], LOGPROB)[0]))
        assert found.test.low is not None
        assert found.curve[0] == 0
        assert found.curve[runner.graph.n_edges] == pytest.approx(1)
    anew = found_anew(model, pairs, both[1])
    assert [row.seed for row in anew] == [1, 2, 3, 4]
    sufficient, necessary = find_circuits(model, *split_by_person(pairs, 3))
    first, other = set(both[1].edges), set(necessary.edges)
    assert anew[2].sufficient == len(sufficient.edges)
    assert anew[2].left == necessary.left
    assert anew[2].shared == len(first & other) / len(first | other)


def test_groups_by_hand(two: TwoModels, model: Model) -> None:
    """Of everything all is kept and nothing left; of nothing it is the other way round. Five samples are injected, of
    10 and 20 copies in turn."""
    injected = pairs_of([sample for sample in two.samples if sample.injected])
    edges = graph_of(model).edges
    sizes = {("copies", "10"): (3, 1), ("copies", "20"): (2, 1), ("type", "words"): (5, 2)}
    for chosen, kept, left in ((edges, 1, 0), ((), 0, 1)):
        circuits = [
            FoundCircuit(tuple(chosen), 1.0, measurement(*way, 1.0), {}) for way in (("tree", False), ("edge", True))
        ]
        rows = kept_by_group(model, (circuits[0], circuits[1]), injected, injected.items[:2])
        assert {(row.by, row.group): (row.n_records, row.n_found_on) for row in rows} == sizes
        for row in rows:
            assert (row.kept, row.left) == (pytest.approx(kept, abs=1e-6), pytest.approx(left, abs=1e-6))


def test_a_group_is_measured_by_its_own_ends() -> None:
    """Members 0 and 2: means 3 of ends 1 and 5. Member 1 has ends that coincide."""
    runner = create_autospec(CircuitRunner, instance=True)
    runner.end_values.return_value = torch.tensor([[0.0, 7.0, 2.0], [4.0, 7.0, 6.0]])
    runner.resolution.return_value = 1e-6
    values = np.array([1.0, 7.0, 5.0])
    assert _share(runner, values, [0, 2]) == pytest.approx(0.5)
    assert _share(runner, values, [1]) is None
