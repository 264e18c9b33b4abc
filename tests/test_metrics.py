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


def test_answers_are_weighed_columns_and_padding_weighs_nothing() -> None:
    assert ANSWERS.columns.tolist() == [[1, 2, 0], [0, 3, 2]]
    assert ANSWERS.answer.tolist() == [[1, 0, 0], [0.5, 0.5, 0]]
    assert ANSWERS.wrong.tolist() == [[0, 1, 0], [0, 0, 1]]
    some = ANSWERS[torch.tensor([1])]
    assert (some.columns.tolist(), some.wrong.tolist()) == ([[0, 3, 2]], [[0, 0, 1]])
    assert ANSWERS.gather(LOGITS).tolist() == [[2, 1, 0], [4, 2, 1]]


@pytest.mark.parametrize(("ids", "message"), [(4, "answer id 4 is outside the vocabulary 0..3"), (-1, "answer id -1")])
def test_ids_at_the_edge_of_the_vocabulary_are_answers_and_those_beyond_are_not(ids: int, message: str) -> None:
    assert Answers.of_ids([[0]], [[3]], 4).columns.tolist() == [[0, 3]]
    for answers in ([[ids], [0]], [[0], [0, ids]]):
        with pytest.raises(ValueError, match=message):
            Answers.of_ids(answers, [[1], [1]], 4)


@pytest.mark.parametrize("name", METRICS)
def test_circuits_before_the_pairs_are_measured_one_by_one(name: str) -> None:
    """Logits of five circuits at once, [circuits, pairs, ...], against each alone."""
    metric, generator = Metric.parse(name), torch.Generator().manual_seed(0)
    reference = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    if metric.reads == SEQUENCE:
        logits, labels = torch.randn(5, 2, 2, 2, generator=generator, dtype=torch.float64), STEPS
    else:
        logits = torch.randn(5, 2, 4, generator=generator, dtype=torch.float64)
        labels = Labels(ANSWERS, reference=reference)
        logits = ANSWERS.gather(logits) if metric.reads == COLUMNS else logits
    together = metric(logits, labels)
    assert together.shape == (5, 2)
    torch.testing.assert_close(together, torch.stack([metric(row, labels) for row in logits]))


def test_every_metric_by_its_definition_on_random_logits() -> None:
    logits = torch.randn(2, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    reference = torch.randn(2, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    values = {"logit": logits, "prob": logits.softmax(-1), "logprob": logits.log_softmax(-1)}
    for row, pair in enumerate(PAIRS):
        for word, value in values.items():
            right, wrong = (float(value[row, list(ids)].mean()) for ids in (pair.answer_ids, pair.wrong_answer_ids))
            for name, expected in (
                (f"{word}_diff", right - wrong), (f"answer_{word}", right), (f"wrong_answer_{word}", wrong),
            ):  # fmt: skip
                assert float(metric_values(name, logits)[row]) == pytest.approx(expected)
        p, q = reference[row].softmax(-1), logits[row].softmax(-1)
        assert float(metric_values("kl", logits, reference)[row]) == pytest.approx(float((p * (p / q).log()).sum()))
        best = max(float(logits[row, i]) for i in pair.answer_ids)
        assert float(metric_values("rank", logits)[row]) == 1 + sum(float(v) > best for v in logits[row])


def test_metrics_tell_what_they_read_whether_they_have_a_gradient_and_how_they_round() -> None:
    without_gradient = {name for name, metric in TABLE.items() if not metric.differentiable}
    assert without_gradient == {"correct", "rank", "exact_match"}
    assert {name for name, metric in TABLE.items() if metric.compares} == {"kl"}
    assert {name for name, metric in TABLE.items() if metric.reads == SEQUENCE} == {"sequence_logprob", "exact_match"}
    assert {name for name, metric in TABLE.items() if metric.reads == COLUMNS} == {
        "logit_diff", "answer_logit", "wrong_answer_logit",
    }  # fmt: skip
    assert {name for name, metric in TABLE.items() if metric.rounding == 0} == without_gradient
    assert {name for name, metric in TABLE.items() if metric.rounding is None} == {
        "prob_diff", "answer_prob", "wrong_answer_prob",
    }  # fmt: skip
    assert {name for name, metric in TABLE.items() if metric.reads_wrong} == {
        name for name in TABLE if name.endswith("_diff") or name.startswith("wrong_")
    }


def test_a_metric_of_a_token_reads_whole_answers_has_no_gradient_and_is_accepted_where_it_is_named() -> None:
    metric = Metric.parse("neg_token_logprob_12", WITH_TOKENS)
    assert (metric.reads, metric.differentiable, metric.sign) == (SEQUENCE, False, -1)
    for name in ("token_logprob_", "token_logprob_x", "token_logprob_-1", "12", "token_logprob_K"):
        with pytest.raises(ValueError, match="is not known; accepted, each also with neg_: "):
            Metric.parse(name, WITH_TOKENS)


def test_no_logits_have_nothing_to_resolve() -> None:
    assert Metric.parse("logit_diff").resolution(torch.zeros(0, 2, 4), torch.zeros(0, 2), torch.float32) == 0


def test_units_in_the_last_place_are_one_in_half_precision_and_sixteen_above() -> None:
    logits, values = torch.tensor([[-8.0, 2.0]]), torch.tensor([3.0])
    for dtype, units in ((torch.float64, 16), (torch.float32, 16), (torch.bfloat16, 1), (torch.float16, 1)):
        found = Metric.parse("logit_diff").resolution(logits, values, dtype)
        assert found == pytest.approx(units * torch.finfo(dtype).eps * 8)
        assert Metric.parse("rank").resolution(logits, values, dtype) == 0
