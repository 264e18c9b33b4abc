"""Random masks: their means, how often they count, and what their gradients estimate."""

import pytest
import torch

from memcirc.attribution.relaxations import HARD_CONCRETE, UNIFORM, Relaxation

BOTH = pytest.mark.parametrize("relaxation", [HARD_CONCRETE, UNIFORM], ids=["hard concrete", "uniform"])
LOGITS = torch.linspace(-4, 4, 9, dtype=torch.float64)


def numbers(n: int) -> torch.Tensor:
    return torch.rand(n, len(LOGITS), 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@BOTH
def test_masks_lie_between_0_and_1_and_open_as_often_as_said(relaxation: Relaxation) -> None:
    masks, _ = relaxation.draw(LOGITS, numbers(200_000))
    assert (masks.min(), masks.max()) == (0, 1)
    often = (masks > 0).double().mean(0) if relaxation is HARD_CONCRETE else masks.mean(0)
    torch.testing.assert_close(often, relaxation.at_work(LOGITS), atol=5e-3, rtol=0)


def test_the_factor_of_hard_concrete_masks_is_their_slope() -> None:
    uniform, step = numbers(100), 1e-6
    masks, factors = HARD_CONCRETE.draw(LOGITS, uniform)
    after, before = (HARD_CONCRETE.draw(LOGITS + s, uniform)[0] for s in (step, -step))
    inside = (masks > 1e-5) & (masks < 1 - 1e-5)
    torch.testing.assert_close(factors[inside], ((after - before) / (2 * step))[inside], rtol=1e-5, atol=1e-8)
    assert not factors[(masks == 0) | (masks == 1)].any()


def test_uniform_gradients_are_those_of_masks_that_are_0_or_1() -> None:
    """Of the loss k^3, whose slope 3 k^2 is 1 on average over [0, 1]: its mean under masks of mean t changes by
    t(1 - t) with the logit."""
    masks, factors = UNIFORM.draw(LOGITS, numbers(400_000))
    mean = LOGITS.sigmoid()
    torch.testing.assert_close((3 * masks.square() * factors).mean(0), mean * (1 - mean), atol=3e-3, rtol=0)
