"""Patches measured in groups of examples, fast and by full passes, with what is said of it."""

from collections.abc import Sequence

import pytest
import torch

from memcirc.metrics import Metric
from memcirc.pairs.record import Pairs
from memcirc.patching import sides
from memcirc.patching.measuring import Measured, measure
from memcirc.patching.patches import Patch
from memcirc.patching.sides import compared
from memcirc.patching.sites import Site
from tests.models import random_pairs, small_model

METRICS = [Metric.parse(name) for name in ("logit_diff", "kl")]
MIXED = [Patch((Site("z", 1, (2,), (0,)),)), Patch((Site("ln1_scale", 1),)), Patch((Site("resid_pre", 2, (4,)),))]


def measured(pairs: Pairs, patches: Sequence[Patch], done: list[int], full_passes: bool = False) -> Measured:
    comparison, question = compared(small_model("gpt2"), pairs, METRICS)
    with torch.no_grad():
        return measure(comparison, patches, question, full_passes, done.append)


def test_groups_of_examples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example alone; the first two have no position 4."""
    pairs, once, one_by_one = random_pairs(4, (4, 4, 6, 5)), [], []
    whole = measured(pairs, MIXED, once)
    monkeypatch.setattr(sides, "RECORDED_BYTES", 1)
    parts = measured(pairs, MIXED, one_by_one)
    torch.testing.assert_close(parts.values, whole.values, equal_nan=True)
    torch.testing.assert_close(parts.base, whole.base)
    torch.testing.assert_close(parts.source, whole.source)
    assert whole.values[0].isnan().tolist() == [[False] * 4, [False] * 4, [True, True, False, False]]
    assert sum(once) == sum(one_by_one) == len(MIXED) * len(pairs)
    assert len(one_by_one) == 4 * len(once)


def test_both_ways_to_measure_agree_and_only_one_gives_reasons() -> None:
    pairs = random_pairs(2, 5)
    fast, slow = (measured(pairs, [MIXED[0], MIXED[2]], [], full) for full in (False, True))
    torch.testing.assert_close(fast.values, slow.values, atol=1e-9, rtol=1e-9)
    assert (fast.reasons, slow.reasons) == ((), ("asked for",))
    assert measured(pairs, MIXED, []).reasons == ("'ln1_scale' is not a place of the fast engine",)
    assert 0 <= fast.self_patch < 1e-9


def test_a_mean_over_all_examples_needs_them_in_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "RECORDED_BYTES", 1)
    with pytest.raises(ValueError, match="operation 'mean' over 3 prompts does not fit into memory; at most 1 do"):
        measured(random_pairs(3, 5), [Patch((Site("z", 0),), operation="mean")], [])
