import pytest

from memcirc.verification.areas import MIB_FRACTIONS, areas


def test_a_perfect_curve_has_the_areas_of_its_range() -> None:
    found = areas(MIB_FRACTIONS, [1.0] * 10)
    assert found == pytest.approx({"cpr": 0.999, "cmd": 0, "log_auc": 1})


def test_a_curve_that_keeps_its_share_has_the_areas_worked_by_hand() -> None:
    """The integral of x over .001..1 is (1 - 1e-6) / 2 = .4999995; that of 1 - x is .999 - .4999995 = .4990005."""
    found = areas(MIB_FRACTIONS, list(MIB_FRACTIONS))
    assert (found["cpr"], found["cmd"]) == pytest.approx((0.4999995, 0.4990005))


def test_on_the_logarithmic_axis_every_factor_counts_alike() -> None:
    assert areas([0.01, 0.1, 1.0], [0.0, 0.0, 1.0])["log_auc"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("fractions", "values", "message"),
    [
        ([0.1], [1.0], "at least 2"),
        ([0.1, 1.0], [1.0], "the same number of both"),
        ([0.0, 1.0], [0.0, 1.0], r"do not rise within \(0, 1\]"),
        ([0.5, 0.2], [0.0, 1.0], "do not rise"),
    ],
)
def test_curves_that_are_none_are_refused(fractions: list[float], values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        areas(fractions, values)
