"""Do two models share a basis? Equal ones do, rotated ones do not."""

from dataclasses import replace

import pytest
import torch

from memcirc.alignment import Alignment, linear_cka
from memcirc.studies.pii.alignment import align
from memcirc.studies.pii.two_models import TwoModels


def test_cka_does_not_see_a_rotation_and_sees_a_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    a, other = torch.randn(2, 50, 6, generator=generator, dtype=torch.float64)
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))
    assert linear_cka(a, 3 * a @ rotation + 1) == pytest.approx(1.0)
    assert linear_cka(a, other) < 0.3


def test_a_model_is_aligned_with_itself_and_its_parts_can_be_swapped(two: TwoModels) -> None:
    same = replace(two, control=two.target)
    found = align(*same.answered(two.samples))
    assert found.cosine == pytest.approx((1.0,) * 3, abs=1e-6)
    assert found.cka == pytest.approx((1.0,) * 3, abs=1e-6)
    _, logprob = two.recites(two.target, two.samples)
    assert list(found.swaps.values()) == pytest.approx([logprob.mean()] * 4, abs=1e-4)
    assert found.warning is None


def test_swaps_of_two_models_have_their_own_log_probabilities_at_the_corners(two: TwoModels) -> None:
    found = align(*two.answered(two.samples))
    for name, model in two.by_name.items():
        own = found.swaps[f"residual of the {name}, unembedding of the {name}"]
        assert own == pytest.approx(two.recites(model, two.samples)[1].mean(), abs=1e-4)
    assert min(found.cosine) < 1


def test_a_low_cosine_is_warned_about() -> None:
    assert Alignment((0.9, 0.5), (1.0, 1.0)).warning is None
    warning = Alignment((0.9, 0.49), (1.0, 1.0)).warning
    assert warning is not None
    assert "a cosine of 0.49 (below 0.5)" in warning
