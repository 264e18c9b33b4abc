import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memcirc.metrics import ANSWER_METRICS, Answers, from_columns, metric_values, reads_columns, sequence_logprob
from memcirc.pairs.record import Pair, Pairs

PAIRS = Pairs((Pair((0,), (1,), (1,), (2,)), Pair((0,), (1,), (0, 3), (2,))))
LOGITS = torch.tensor([[0.0, 2.0, 1.0, -1.0], [4.0, 0.0, 1.0, 2.0]], dtype=torch.float64)
ANSWERS = Answers.of(PAIRS, 4)


def test_logit_diff_averages_alternatives() -> None:
    assert metric_values("logit_diff", LOGITS, ANSWERS).tolist() == [2.0 - 1.0, (4.0 + 2.0) / 2 - 1.0]


def test_probabilities_and_log_probabilities_are_those_of_softmax() -> None:
    total = math.exp(0) + math.exp(2) + math.exp(1) + math.exp(-1)
    assert metric_values("answer_prob", LOGITS, ANSWERS)[0].item() == pytest.approx(math.exp(2) / total)
    assert metric_values("wrong_answer_logprob", LOGITS, ANSWERS)[0].item() == pytest.approx(1 - math.log(total))


def test_correct_says_whether_the_argmax_is_an_answer() -> None:
    assert metric_values("correct", LOGITS, ANSWERS).tolist() == [1, 1]
    assert metric_values("correct", -LOGITS, ANSWERS).tolist() == [0, 0]


def test_padding_of_answers_never_counts_as_an_answer() -> None:
    logits = torch.tensor([[9.0, 2.0, 1.0, -1.0], [4.0, 0.0, 1.0, 2.0]])
    assert metric_values("correct", logits, ANSWERS)[0] == 0


def test_kl_is_zero_for_the_reference_itself_and_positive_otherwise() -> None:
    assert metric_values("kl", LOGITS, ANSWERS, LOGITS).tolist() == [0, 0]
    assert (metric_values("kl", -LOGITS, ANSWERS, LOGITS) > 0).all()


@given(st.sampled_from(ANSWER_METRICS))
def test_neg_flips_the_sign(metric: str) -> None:
    assert torch.equal(metric_values(f"neg_{metric}", LOGITS, ANSWERS), -metric_values(metric, LOGITS, ANSWERS))


@given(st.sampled_from([m for m in ANSWER_METRICS if reads_columns(m)]))
def test_logit_metrics_need_the_answers_columns_alone(metric: str) -> None:
    assert torch.equal(from_columns(metric, ANSWERS.gather(LOGITS), ANSWERS), metric_values(metric, LOGITS, ANSWERS))


def test_a_whole_answer_sums_its_tokens_and_ignores_padding() -> None:
    logits = torch.tensor([[[0.0, 1.0], [3.0, 0.0]]], dtype=torch.float64)
    targets, mask = torch.tensor([[1, 0]]), torch.tensor([[True, False]])
    expected = 1 - math.log(1 + math.e)
    assert sequence_logprob(logits, targets, mask).item() == pytest.approx(expected)


def test_an_unknown_metric_is_refused_with_the_accepted_ones() -> None:
    with pytest.raises(ValueError, match=r"'loss' is not known; accepted.*logit_diff"):
        metric_values("loss", LOGITS, ANSWERS)


def test_an_answer_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match=r"answer id 3 is outside the vocabulary 0\.\.2"):
        Answers.of(PAIRS, 3)


def test_kl_without_a_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="none was given"):
        metric_values("kl", LOGITS, ANSWERS)
