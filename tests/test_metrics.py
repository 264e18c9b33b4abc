import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memcirc.metrics import COLUMNS, METRICS, POSITION, SEQUENCE, TABLE, WITH_TOKENS, Answers, Labels, Metric
from memcirc.pairs.record import Pair, Pairs

PAIRS = Pairs((Pair((0,), (1,), (1,), (2,)), Pair((0,), (1,), (0, 3), (2,))))
LOGITS = torch.tensor([[0.0, 2.0, 1.0, -1.0], [4.0, 0.0, 1.0, 2.0]], dtype=torch.float64)
ANSWERS = Answers.of(PAIRS, 4)
OF_ANSWERS = [name for name in METRICS if name.endswith(("_diff", "_logit", "_prob", "_logprob")) and "seq" not in name]


def metric_values(name: str, logits: torch.Tensor, reference: torch.Tensor | None = None) -> torch.Tensor:
    return Metric.parse(name).of_position(logits, Labels(ANSWERS, reference=reference))


def test_logit_diff_averages_alternatives() -> None:
    assert metric_values("logit_diff", LOGITS).tolist() == [2.0 - 1.0, (4.0 + 2.0) / 2 - 1.0]


def test_probabilities_and_log_probabilities_are_those_of_softmax() -> None:
    total = math.exp(0) + math.exp(2) + math.exp(1) + math.exp(-1)
    assert metric_values("answer_prob", LOGITS)[0].item() == pytest.approx(math.exp(2) / total)
    assert metric_values("wrong_answer_logprob", LOGITS)[0].item() == pytest.approx(1 - math.log(total))


def test_correct_says_whether_the_argmax_is_an_answer() -> None:
    assert metric_values("correct", LOGITS).tolist() == [1, 1]
    assert metric_values("correct", -LOGITS).tolist() == [0, 0]


def test_padding_of_answers_never_counts_as_an_answer() -> None:
    logits = torch.tensor([[9.0, 2.0, 1.0, -1.0], [4.0, 0.0, 1.0, 2.0]])
    assert metric_values("correct", logits)[0] == 0


def test_kl_is_zero_for_the_reference_itself_and_positive_otherwise() -> None:
    assert metric_values("kl", LOGITS, LOGITS).tolist() == [0, 0]
    assert (metric_values("kl", -LOGITS, LOGITS) > 0).all()


@given(st.sampled_from(OF_ANSWERS))
def test_neg_flips_the_sign(metric: str) -> None:
    assert torch.equal(metric_values(f"neg_{metric}", LOGITS), -metric_values(metric, LOGITS))


@pytest.mark.parametrize("name", [name for name, metric in TABLE.items() if metric.reads == COLUMNS])
def test_logit_metrics_need_the_answers_columns_alone(name: str) -> None:
    by_hand = {"logit_diff": [1, 2], "answer_logit": [2, 3], "wrong_answer_logit": [1, 1]}
    assert Metric.parse(name)(ANSWERS.gather(LOGITS), Labels(ANSWERS)).tolist() == by_hand[name]


STEPS = Labels(None, torch.tensor([[1, 0], [0, 1]]), torch.tensor([[True, False], [True, True]]))
STEP_LOGITS = torch.tensor([[[0.0, 1.0], [3.0, 0.0]], [[2.0, 0.0], [5.0, 0.0]]], dtype=torch.float64)


def test_a_whole_answer_sums_its_tokens_and_ignores_padding() -> None:
    first = 1 - math.log(1 + math.e)
    second = 2 - math.log(1 + math.e**2) - math.log(1 + math.e**5)
    assert Metric.parse("sequence_logprob")(STEP_LOGITS, STEPS).tolist() == pytest.approx([first, second])
    assert Metric.parse("exact_match")(STEP_LOGITS, STEPS).tolist() == [1, 0]


def test_one_token_of_an_answer_is_nan_where_the_answer_is_shorter() -> None:
    at_0, at_1 = (Metric.parse(f"token_logprob_{k}", WITH_TOKENS)(STEP_LOGITS, STEPS) for k in (0, 1))
    assert at_0[0].item() == pytest.approx(1 - math.log(1 + math.e))
    assert math.isnan(at_1[0])
    assert at_1[1].item() == pytest.approx(-math.log(1 + math.e**5))
    with pytest.raises(ValueError, match="the longest answer has 2 tokens, from 0"):
        Metric.parse("token_logprob_2", WITH_TOKENS)(STEP_LOGITS, STEPS)
    with pytest.raises(ValueError, match="'token_logprob_0' is not known"):
        Metric.parse("token_logprob_0")


def test_the_rank_counts_the_tokens_above_the_best_answer() -> None:
    assert metric_values("rank", LOGITS).tolist() == [1, 1]
    assert metric_values("rank", -LOGITS).tolist() == [4, 3]


@given(st.sampled_from(METRICS))
def test_every_metric_reads_one_kind_of_logits_and_knows_its_own_name(name: str) -> None:
    metric, negated = Metric.parse(name), Metric.parse(f"neg_{name}")
    assert metric.reads in (COLUMNS, POSITION, SEQUENCE)
    assert (metric.name, negated.name, negated.sign) == (name, f"neg_{name}", -metric.sign)
    with pytest.raises(ValueError, match="neg_neg"):
        Metric.parse(f"neg_neg_{name}")


def test_an_unknown_metric_is_refused_with_the_accepted_ones() -> None:
    with pytest.raises(ValueError, match=r"'loss' is not known; accepted.*logit_diff"):
        metric_values("loss", LOGITS)


def test_an_answer_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match=r"answer id 3 is outside the vocabulary 0\.\.2"):
        Answers.of(PAIRS, 3)


def test_kl_without_a_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="none was given"):
        metric_values("kl", LOGITS)
