"""What a sweep says of its numbers, worked out by hand on three patches of three examples."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memcirc.patching.patches import Patch
from memcirc.patching.result import Sweep
from memcirc.patching.sites import Site

BASE, SOURCE = [0.0, 1.0, 2.0], [2.0, 3.0, 7.0]
VALUES = [[1.0, 2.0, 3.0], [-1.0, 1.0, np.nan], [np.nan] * 3]


def sweep(values: list[list[float]] = VALUES, base: list[float] = BASE, source: list[float] = SOURCE) -> Sweep:
    patches = tuple(Patch((Site("z", 0, None, (head,)),), f"head {head}") for head in range(3))
    numbers = {"m": np.array(values)}, {"m": np.array(base)}, {"m": np.array(source)}
    return Sweep(
        pa.table({}), *numbers, {"m": 1e-6}, ("layer", "head"), (2, 2), ((0, 0), (1, 0), (1, 1)), patches, "denoise",
        (), 0.0,
    )  # fmt: skip


def test_an_effect_is_the_ratio_of_means_over_the_examples_that_have_the_place() -> None:
    """Patch 0: (2 - 1) / (4 - 1). Patch 1 has examples 0 and 1: (0 - .5) / (2.5 - .5). Patch 2 has none."""
    found = sweep()
    np.testing.assert_allclose(found.effects("m"), [1 / 3, -1 / 4, np.nan])
    np.testing.assert_allclose(found.effects("m", normalized=False), [2.0, 0.0, np.nan])
    assert found.counts("m").tolist() == [3, 2, 0]
    np.testing.assert_allclose(found.own_ends("m"), [[1.0, 0.5, np.nan], [4.0, 2.5, np.nan]])
    assert found.ends == {"m": (1.0, 4.0)}
    np.testing.assert_allclose(found.changes("m")[:2], [[1, 1, 1], [-1, 0, np.nan]])


def test_a_sweep_that_was_asked_for_raw_values_gives_them() -> None:
    raw = replace(sweep(), normalized=False)
    np.testing.assert_allclose(raw.effects("m"), [2.0, 0.0, np.nan])
    np.testing.assert_allclose(raw.matrix("m")[0, 0], 2.0)
    assert raw.ranked("m") == [("head 0", 2.0)]
    np.testing.assert_array_equal(raw.intervals("m", draws=20), raw.intervals("m", normalized=False, draws=20))
    np.testing.assert_allclose(raw.effects("m", normalized=True), sweep().effects("m"))


def test_cells_without_a_patch_are_empty() -> None:
    np.testing.assert_allclose(sweep().matrix("m"), [[1 / 3, np.nan], [-1 / 4, np.nan]])
    np.testing.assert_allclose(sweep().arranged(np.array([1, 2, 3])), [[1, np.nan], [2, 3]])


def test_rankings_leave_out_what_has_no_effect_or_none_that_exists() -> None:
    found = sweep()
    assert [label for label, _ in found.ranked("m")] == ["head 0", "head 1"]
    assert [label for label, _ in found.ranked("m", "negative")] == ["head 1"]
    assert found.ranked("m", "positive", top=0) == []
    still = sweep([BASE, [1.0, 2.0, 3.0], VALUES[2]])
    assert [label for label, _ in still.ranked("m")] == ["head 1"]
    with pytest.raises(ValueError, match="ranking 'loud' is not known; accepted: signed, positive, negative"):
        found.ranked("m", "loud")


def test_intervals_of_one_group_are_the_effect_and_those_of_many_hold_it() -> None:
    found = sweep([[1.0, 2.0, 3.0], [-1.0, 1.0, 3.0], [0.0, 0.0, 9.0]])
    low, high = found.intervals("m", groups=["a", "a", "a"])
    np.testing.assert_allclose([low, high], [found.effects("m")] * 2)
    low, high = found.intervals("m", draws=200)
    assert (low <= found.effects("m")).all()
    assert (found.effects("m") <= high).all()
    assert (low < high).all()
    assert np.array_equal(found.intervals("m", draws=200), found.intervals("m", draws=200))
    assert not np.array_equal(found.intervals("m", draws=200, seed=1), found.intervals("m", draws=200))


@settings(deadline=None, max_examples=30)
@given(st.floats(-50, 50), st.floats(0.1, 50), st.booleans())
def test_an_effect_does_not_depend_on_the_metrics_unit_origin_or_sign(
    shift: float, scale: float, flipped: bool
) -> None:
    scale = -scale if flipped else scale
    moved = [[[shift + scale * x for x in row] for row in rows] for rows in (VALUES, [BASE], [SOURCE])]
    np.testing.assert_allclose(
        sweep(moved[0], moved[1][0], moved[2][0]).effects("m"), sweep().effects("m"), rtol=1e-9, atol=1e-9
    )


def test_what_was_not_measured_or_cannot_be_normalised_is_refused() -> None:
    with pytest.raises(ValueError, match="metric 'speed' was not measured; measured: m"):
        sweep().effects("speed")
    flat = sweep(source=BASE)
    for ask in (flat.effects, flat.matrix, flat.intervals):
        with pytest.raises(ValueError, match="the ends of 'm' coincide"):
            ask("m")
    assert flat.effects("m", normalized=False)[0] == 2.0
    assert repr(flat) == "Sweep(3 patches of 3 examples, denoise: m)"
