import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcirc.circuits.search import EXHAUSTIVE, smallest_size

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
