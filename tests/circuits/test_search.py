from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcirc.circuits.search import EXHAUSTIVE, SizeSearch, smallest_size

curves = st.lists(st.floats(-1, 1.5), min_size=1, max_size=80).map(lambda values: [0.0, *values, 1.0])


@given(curves, st.floats(0.1, 1))
def test_the_smallest_size_of_any_curve_is_found_when_all_smaller_ones_can_be_measured(
    curve: list[float], target: float
) -> None:
    found = smallest_size(lambda sizes: [curve[n] for n in sizes], len(curve) - 1, target)
    smallest = next(n for n, value in enumerate(curve) if value >= target)
    assert (found.n_edges, found.lower_bound) == (smallest, smallest)
    assert found.faithfulness == curve[smallest]


@given(st.integers(300, 40_000), st.data())
def test_a_monotone_curve_is_bisected_with_step_one(n_edges: int, data: st.DataObject) -> None:
    threshold = data.draw(st.integers(1, n_edges))
    calls = []

    def curve(sizes: list[int]) -> list[float]:
        calls.extend(sizes)
        return [1.0 if n >= threshold else n / (2 * n_edges) for n in sizes]

    found = smallest_size(curve, n_edges, 0.85, scan=False)  # type: ignore[arg-type]
    assert found.n_edges == threshold
    assert found.monotone
    assert len(calls) == len(set(calls)) <= 2 + n_edges.bit_length() + 1


def test_what_is_returned_was_measured_at_the_size_returned() -> None:
    found = smallest_size(lambda sizes: [n / 1000 for n in sizes], 1000, 0.85)
    assert found.evaluated[found.n_edges] == found.faithfulness == 0.85
    assert found.n_edges == 850


def test_an_early_peak_that_bisection_misses_is_found_below() -> None:
    def curve(sizes: list[int]) -> list[float]:
        return [0.9 if 40 <= n < 50 else n / 1000 for n in sizes]

    found = smallest_size(curve, 1000, 0.85)  # type: ignore[arg-type]
    assert (found.n_edges, found.lower_bound, found.monotone) == (40, 40, False)
    assert smallest_size(curve, 1000, 0.85, scan=False).n_edges == 850  # type: ignore[arg-type]


def test_the_bound_claims_no_more_than_was_measured() -> None:
    found = smallest_size(lambda sizes: [n / 5000 for n in sizes], 5000, 0.85)
    assert found.n_edges == 4250
    assert found.lower_bound == EXHAUSTIVE + 1
    assert all(found.evaluated[n] < 0.85 for n in range(found.lower_bound))


def test_a_target_that_nothing_reaches_is_said_not_to_be_met() -> None:
    found = smallest_size(lambda sizes: [0.3 * n / 10 for n in sizes], 10, 0.85)
    assert not found.target_met
    assert found.n_edges == 10


@pytest.mark.parametrize("target", [0.0, -1.0, 1.01])
def test_a_target_outside_its_range_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match=r"is outside \(0, 1\]"):
        smallest_size(lambda sizes: [0.0 for _ in sizes], 10, target)


def asked(curve: list[float], **options: float) -> tuple[SizeSearch, list[list[int]]]:
    """A search of a curve given by its value at every size, and the sizes of every call."""
    calls: list[list[int]] = []

    def faithfulness(sizes: Sequence[int]) -> list[float]:
        calls.append(list(sizes))
        return [curve[size] for size in sizes]

    return smallest_size(faithfulness, len(curve) - 1, **options), calls  # type: ignore[arg-type]


def test_no_size_is_measured_twice_and_each_call_is_in_order() -> None:
    _, calls = asked([0, 0.5, 0.2, 0.9, 0.4, 0.95, 1], target=0.85)
    every = [size for call in calls for size in call]
    assert len(every) == len(set(every))
    assert all(call == sorted(call) for call in calls)
    assert calls[0] == [0, 6]


def test_a_size_that_reaches_the_target_exactly_is_found() -> None:
    found, _ = asked([0, 0.85, 0.9, 1], target=0.85)
    assert (found.n_edges, found.faithfulness, found.target_met) == (1, 0.85, True)


def test_a_target_is_above_0_and_at_most_1() -> None:
    assert asked([0, 1.0], target=1.0)[0].n_edges == 1
    for target in (0.0, -0.5, 1.01):
        with pytest.raises(ValueError, match=rf"target {target} is outside \(0, 1\]"):
            asked([0, 1.0], target=target)


def test_where_all_edges_fall_short_the_best_prefix_measured_is_told_as_such() -> None:
    found, calls = asked([0.1, 0.9, 0.3], target=0.85)
    assert (found.n_edges, found.faithfulness, found.target_met, calls) == (2, 0.3, False, [[0, 2]])
    assert asked([0.4, 0.9, 0.3], target=0.85)[0].n_edges == 0


def test_where_no_edge_is_needed_the_circuit_is_empty() -> None:
    found, calls = asked([0.9, 0.2, 1.0], target=0.85)
    assert (found.n_edges, found.lower_bound, found.monotone, calls) == (0, 0, True, [[0, 2]])


def test_a_search_is_of_85_percent_and_looks_below_unless_told_otherwise() -> None:
    curve = [0, 0.86, 0.3, 0.4, 0.5, 0.8, 0.84, 0.9, 1]
    assert asked(curve)[0].n_edges == 1
    quick, _ = asked(curve, scan=False)
    assert (quick.n_edges, quick.lower_bound) == (7, 1)


def test_a_curve_that_falls_by_rounding_alone_is_monotone() -> None:
    assert asked([0, 0.5, 0.5 - 9e-7, 1])[0].monotone
    assert not asked([0, 0.5, 0.5 - 2e-6, 1])[0].monotone


def test_above_256_edges_a_grid_of_sizes_is_looked_at_and_the_bound_says_how_far_all_were() -> None:
    curve = [0.0] * 900 + [1.0] * 101
    found, _ = asked(curve)
    grid = np.unique(np.geomspace(256, 899, 24).round().astype(int)).tolist()
    assert (found.n_edges, found.lower_bound) == (900, 257)
    assert set(grid) | set(range(256)) <= set(found.evaluated)
    dip = list(curve)
    dip[grid[5]] = 1.0
    assert asked(dip)[0].n_edges == grid[5]
