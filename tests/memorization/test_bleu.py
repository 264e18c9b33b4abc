import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcirc.memorization.bleu import bleu4

tokens = st.lists(st.integers(0, 5), min_size=1, max_size=12)


def test_the_formula_is_pinned_by_hand() -> None:
    """[1,2,3,9,5,6] against [1..6]: 5 of 6 unigrams, 3 of 5 bigrams, 1 of 4 trigrams, 0 of 3 four-grams; smoothed
    6/7 * 4/6 * 2/5 * 1/4 = .0571428..., fourth root .488923."""
    assert bleu4([1, 2, 3, 4, 5, 6], [1, 2, 3, 9, 5, 6]) == pytest.approx(0.488923, abs=1e-6)


def test_no_common_token_still_gives_a_positive_value() -> None:
    assert bleu4([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx((1 / 5 * 1 / 4 * 1 / 3 * 1 / 2) ** 0.25)


def test_an_order_of_which_no_ngram_is_possible_counts_as_one() -> None:
    assert bleu4([1, 2], [1, 3]) == pytest.approx((2 / 3 * 1 / 2) ** 0.25)


def test_a_short_candidate_pays_the_brevity_penalty() -> None:
    assert bleu4([1, 2, 3, 4], [1, 2]) < bleu4([1, 2], [1, 2]) == 1


@given(tokens)
def test_a_sequence_against_itself_is_one(sequence: list[int]) -> None:
    assert bleu4(sequence, sequence) == pytest.approx(1)


@given(tokens, tokens)
def test_it_lies_between_zero_and_one(truth: list[int], candidate: list[int]) -> None:
    assert 0 < bleu4(truth, candidate) <= 1 + 1e-12


def test_an_empty_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        bleu4([], [1])
