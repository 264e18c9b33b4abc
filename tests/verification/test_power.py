"""What would have been found: against simulations."""

import numpy as np
import pytest
from scipy.stats import binom, pearsonr

from memcirc.verification.hypothesis_tests import LEVEL, exceedance_test, sign_test
from memcirc.verification.power import (
    POWER,
    detectable_correlation,
    detectable_probability,
    detectable_share,
)


def test_a_sign_test_of_six_groups_sees_only_what_nearly_always_wins() -> None:
    """It rejects at 6 of 6 (and 0 of 6) alone: p^6 + (1 - p)^6 >= .8 from p = .8^(1/6) = .9635 on."""
    found = detectable_probability(lambda k: sign_test(k, 6 - k), 6, 0.5)
    assert found == pytest.approx(0.8 ** (1 / 6), abs=1e-3)


@pytest.mark.parametrize("n", [20, 100])
def test_it_is_the_first_probability_with_the_power(n: int) -> None:
    found = detectable_probability(lambda k: exceedance_test(k, n, 0.5), n, 0.5)
    assert found is not None

    def power(probability: float) -> float:
        return sum(binom.pmf(k, n, probability) for k in range(n + 1) if exceedance_test(k, n, 0.5) <= LEVEL)

    assert power(found) >= POWER > power(found - 0.001)


def test_where_no_outcome_rejects_nothing_can_be_found() -> None:
    assert detectable_probability(lambda k: 1.0, 10, 0.5) is None


def test_more_groups_see_less_of_the_output() -> None:
    generator = np.random.default_rng(0)
    few, many = (detectable_share(generator.normal(size=(n, 2)), generator.normal(size=(n, 2)), 0) for n in (8, 60))
    assert many is not None
    assert few is None or few > many


def test_an_output_that_is_always_the_same_cannot_be_seen_in_what_is_left() -> None:
    constant = np.ones((10, 2))
    assert detectable_share(np.random.default_rng(0).normal(size=(10, 2)), constant, 0) is None


def test_the_correlation_is_found_in_four_of_five_cases() -> None:
    n, generator = 40, np.random.default_rng(1)
    r = detectable_correlation(n)
    assert r is not None
    found = 0
    for _ in range(1000):
        x = generator.normal(size=n)
        found += pearsonr(x, r * x + np.sqrt(1 - r * r) * generator.normal(size=n)).pvalue <= LEVEL
    assert 0.75 < found / 1000 < 0.85
    assert detectable_correlation(3) is None
