"""The study's search, reconstructed: its published sizes are on the grid, and the intervals follow by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcirc.verification.study_sizes import PUBLISHED_SIZES, coarse_search, open_interval


@pytest.mark.parametrize(
    ("size", "low"), [(14, 1), (78, 15), (141, 79), (332, 269), (1923, 1860), (3769, 3706), (5614, 5552)]
)
def test_the_intervals_of_the_published_sizes(size: int, low: int) -> None:
    """By hand for 141: probes 16246, 8098, 4024, 1987, 969, 460, 205 pass, 78 fails, 141 passes, and the ends cross; so
    79 to 141 all give 141."""
    found = open_interval(size)
    assert (found.low, found.high) == (low, size)
    assert size in PUBLISHED_SIZES


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([1, 7, 50]))
def test_the_search_never_returns_less_than_the_truth_on_a_monotone_curve(true: int, n_edges: int, step: int) -> None:
    found = coarse_search(lambda n: n >= true, n_edges, step)
    assert found is None or found >= true
    if found is not None:
        interval = open_interval(found, n_edges, step)
        assert interval.low <= true <= interval.high


def test_with_step_one_nothing_is_left_open() -> None:
    assert coarse_search(lambda n: n >= 137, 1519, 1) == 137
    assert coarse_search(lambda n: False, 1519) is None


def test_a_size_off_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="size 77 is not on the grid of a search over 32491 edges with step 50"):
        open_interval(77)
