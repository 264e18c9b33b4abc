"""The statistics against published or hand-worked values, and their level against simulations under the null."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from memcirc.verification.hypothesis_tests import (
    exceedance_test,
    fewest_for_exceedance,
    fewest_for_margin_test,
    fewest_for_sign_test,
    holm,
    hsic,
    hsic_test,
    margin_test,
    sign_test,
)

SIMULATIONS = 4000


def within_binomial_interval(rejections: int, level: float) -> bool:
    """Is the number of rejections one that the level gives, at 99.9 %?"""
    low, high = binom.interval(0.999, SIMULATIONS, level)
    return bool(low <= rejections <= high)


@pytest.mark.parametrize(("wins", "losses"), [(9, 1), (1, 9), (20, 12), (7, 7), (6, 0)])
def test_the_sign_test_is_the_exact_binomial_test(wins: int, losses: int) -> None:
    assert sign_test(wins, losses) == pytest.approx(min(1, binomtest(wins, wins + losses).pvalue))


def test_the_sign_test_holds_its_level_under_the_null() -> None:
    n = 60
    wins = np.random.default_rng(0).binomial(n, 0.5, SIMULATIONS)
    attained = sum(binom.pmf(k, n, 0.5) for k in range(n + 1) if sign_test(k, n - k) <= 0.05)
    assert 0.02 < attained <= 0.05
    assert within_binomial_interval(sum(sign_test(int(k), int(n - k)) <= 0.05 for k in wins), attained)


def test_the_margin_test_by_hand() -> None:
    """8 of 8: P(8 or 0 wins) = .6^8 + .4^8; half of them: 1."""
    assert margin_test(8, 0) == margin_test(0, 8) == pytest.approx(0.6**8 + 0.4**8)
    assert margin_test(7, 7) == 1
    assert margin_test(12, 3) > sign_test(12, 3)


def test_a_margin_test_of_too_few_groups_to_reject_is_refused() -> None:
    """.6^6 + .4^6 = .0508, .6^7 + .4^7 = .0296."""
    assert fewest_for_margin_test() == 7
    assert margin_test(7, 0) <= 0.05
    with pytest.raises(ValueError, match=r"6 groups on which the two differ; a test with a margin of 0.1 needs at lea"):
        margin_test(6, 0)


@pytest.mark.parametrize("probability", [0.5, 0.56, 0.6])
def test_the_margin_test_holds_its_level_within_the_margin(probability: float) -> None:
    n = 60
    attained = sum(binom.pmf(k, n, probability) for k in range(n + 1) if margin_test(k, n - k) <= 0.05)
    assert attained <= 0.05
    assert probability < 0.6 or attained > 0.02


@pytest.mark.parametrize("q", [0.5, 0.9])
def test_the_exceedance_test_holds_its_level_at_the_edge_of_the_null(q: float) -> None:
    n = 200
    exceeded = np.random.default_rng(1).binomial(n, q, SIMULATIONS)
    attained = sum(binom.pmf(k, n, q) for k in range(n + 1) if exceedance_test(k, n, q) <= 0.05)
    assert 0.02 < attained <= 0.05
    assert within_binomial_interval(sum(exceedance_test(int(k), n, q) <= 0.05 for k in exceeded), attained)


def test_independence_is_rejected_at_its_level_and_dependence_nearly_always() -> None:
    generator = np.random.default_rng(2)
    rejected = found = 0
    runs = 300
    for seed in range(runs):
        x, noise = generator.normal(size=(2, 16, 2))
        rejected += hsic_test(x, noise, 99, seed)[1] <= 0.05
        found += hsic_test(x, x**2 + 0.1 * noise, 99, seed)[1] <= 0.05
    low, high = binom.interval(0.999, runs, 0.05)
    assert low <= rejected <= high
    assert found > 0.8 * runs


def test_hsic_of_two_points_by_hand() -> None:
    """x = y = (0, 1): squared distance 1, its own median, k = exp(-1/2) off the diagonal. Centred, every entry is
    +-(1 - k)/2, so the sum of products with K is (1 - k)/2 * (1 - k - k + 1) = (1 - k)^2; over (n - 1)^2 = 1."""
    x = np.array([[0.0], [1.0]])
    assert hsic(x, x) == pytest.approx((1 - np.exp(-0.5)) ** 2)


def test_holm_steps_down() -> None:
    """By hand: .01 * 4, .02 * 3, .03 * 2, then not below the one before; capped at 1."""
    assert holm([0.02, 0.9, 0.01, 0.03]) == pytest.approx([0.06, 0.9, 0.04, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]


@pytest.mark.parametrize(("q", "fewest"), [(0.9, 29), (0.5, 5)])
def test_too_few_references_are_refused_with_the_number_needed(q: float, fewest: int) -> None:
    assert fewest_for_exceedance(q) == fewest
    assert exceedance_test(fewest, fewest, q) <= 0.05
    with pytest.raises(ValueError, match=rf"^{fewest - 1} reference values.*at least {fewest}"):
        exceedance_test(fewest - 1, fewest - 1, q)


def test_too_few_pairs_are_refused_with_the_number_needed() -> None:
    assert fewest_for_sign_test() == 6
    with pytest.raises(
        ValueError, match=r"5 groups of pairs on which the two differ; a sign test at 0.05 needs at least 6"
    ):
        sign_test(5, 0)
    with pytest.raises(ValueError, match="4 groups of pairs; a permutation test of independence needs at least 5"):
        hsic_test(np.zeros((4, 1)), np.zeros((4, 1)), 9, 0)
