from collections.abc import Sequence

import numpy as np
import pytest

from memcirc.patching.patches import Patch
from memcirc.patching.restoring import additivity, smallest_restoring
from memcirc.patching.sites import Site

SITES = [Site("mlp_out", layer) for layer in range(4)]


def effects(worth: dict[frozenset[int], float]) -> object:
    """The highest worth of any listed set that a patch contains."""

    def measure(patches: Sequence[Patch]) -> np.ndarray:
        found = [{where.layer for where in patch.sites} for patch in patches]
        return np.array([max((v for k, v in worth.items() if k <= layers), default=0.0) for layers in found])

    return measure


def test_the_set_is_grown_and_what_turns_out_not_to_be_needed_taken_out() -> None:
    """Layer 0 helps first, but 1 and 2 together need it no longer."""
    worth = {frozenset({0}): 1.0, frozenset({0, 1}): 1.5, frozenset({1, 2}): 3.0}
    found = smallest_restoring(SITES, [1.0, 0, 0, 0], effects(worth), goal=3.0, at_most=4)  # type: ignore[arg-type]
    assert found.order[0] == "blocks.0.hook_mlp_out"
    assert set(found.labels) == {"blocks.1.hook_mlp_out", "blocks.2.hook_mlp_out"}
    assert found.reached
    assert found.effect == 3.0


def test_a_goal_out_of_reach_is_said_not_to_be_reached() -> None:
    worth = {frozenset({3}): 1.0}
    found = smallest_restoring(SITES, [0, 0, 0, 1.0], effects(worth), goal=2.0, at_most=3)  # type: ignore[arg-type]
    assert not found.reached
    assert found.curve == (1.0, 1.0, 1.0)


def test_an_interaction_is_what_two_do_beyond_each() -> None:
    worth = {frozenset({0}): 1.0, frozenset({1}): 2.0, frozenset({0, 1}): 5.0}
    first, *_ = additivity(SITES[:3], [1.0, 2.0, 0], effects(worth))  # type: ignore[arg-type]
    assert (first.first_effect, first.second_effect, first.together) == (1.0, 2.0, 5.0)
    assert first.interaction == pytest.approx(2.0)
