import pytest

from memcirc.patching.patches import Patch, layer_windows, position_windows
from memcirc.patching.sites import Site
from memcirc.patching.sweep import patch_sweep
from tests.models import small_model
from tests.patching.test_sweep import prompts


def test_windows_slide_and_say_that_they_are_windows() -> None:
    layers = layer_windows("mlp_out", range(4), 2)
    assert [tuple(where.layer for where in patch.sites) for patch in layers] == [(0, 1), (1, 2), (2, 3)]
    assert layers[1].label == "window of mlp_out, layers 1-2"
    positions = position_windows(Site("resid_pre", 1), range(5), 3)
    assert [patch.sites[0].positions for patch in positions] == [(0, 1, 2), (1, 2, 3), (2, 3, 4)]
    assert "window" in positions[0].label


def test_a_window_over_everything_is_the_source_run() -> None:
    windows = position_windows(Site("resid_pre", 0), range(7), 7)
    assert patch_sweep(small_model("gpt2"), *prompts(), sites=windows).effects() == pytest.approx([1.0])


@pytest.mark.parametrize("width", [0, 5])
def test_a_window_that_does_not_fit_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match=rf"a window of {width} layers does not fit; accepted: 1 to 4"):
        layer_windows("z", range(4), width)


def test_a_patch_without_sites_or_with_an_unknown_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one site"):
        Patch(())
    with pytest.raises(ValueError, match="operation 'swap' is not known"):
        Patch((Site("z", 0),), operation="swap")
