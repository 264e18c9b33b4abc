"""Metrics of patched runs: from the answers' columns, from all logits, in parts, by hand."""

import pytest
import torch

from memcirc.metrics import Metric
from memcirc.patching import measures
from memcirc.patching.runs import logits_of, run
from memcirc.patching.sides import compared
from tests.micro_models import m1
from tests.models import random_pairs, small_model

ONE_TOKEN = ("logit_diff", "answer_prob", "logprob_diff", "rank", "kl", "correct")
WHOLE = ("sequence_logprob", "exact_match", "token_logprob_1", *ONE_TOKEN)


def parsed(names: tuple[str, ...]) -> list[Metric]:
    return [Metric.parse(name, ["token_logprob_K", *WHOLE]) for name in names]


def test_the_answers_columns_alone_give_what_all_logits_give() -> None:
    model, pairs = small_model("gpt2"), random_pairs(3, 5, alternatives=2)
    comparison, question = compared(model, pairs, parsed(("logit_diff",)))
    weights, final = comparison.base.weights, run(comparison.base.weights, question.prompts).final
    rows = torch.tensor([2, 0, 1, 2])  # a row is any example, several times
    quick = question.of_final(weights, final[rows], rows)
    torch.testing.assert_close(quick, question.of_logits(logits_of(weights, final[rows]), rows))
    logits = logits_of(weights, final)[:, 0]
    by_hand = [float(logits[i, list(p.answer_ids)].mean() - logits[i, list(p.wrong_answer_ids)].mean())
               for i, p in enumerate(pairs)]  # fmt: skip
    assert quick[0].tolist() == pytest.approx([by_hand[i] for i in (2, 0, 1, 2)])


def test_rows_measured_in_parts_are_those_measured_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pairs = small_model("gpt2"), random_pairs(3, (5, 4), steps=2)
    comparison, question = compared(model, pairs, parsed(WHOLE))
    weights, final = comparison.base.weights, run(comparison.base.weights, question.prompts).final
    asked, rows = question.against(weights, final.flip(0)), torch.arange(3)
    whole, finest = asked.of_final(weights, final, rows), None
    finest = asked.resolution(weights, final, whole)
    monkeypatch.setattr(measures, "ROWS_OF_LOGITS", 1)
    torch.testing.assert_close(asked.of_final(weights, final, rows), whole, equal_nan=True)
    torch.testing.assert_close(asked.resolution(weights, final, whole), finest, equal_nan=True)


def test_some_examples_are_measured_as_among_all() -> None:
    model, pairs = small_model("gpt2"), random_pairs(4, 5)
    comparison, question = compared(model, pairs, parsed(ONE_TOKEN))
    weights, final = comparison.base.weights, run(comparison.base.weights, question.prompts).final
    asked = question.against(weights, final.flip(0))
    whole = asked.of_final(weights, final, torch.arange(4))
    torch.testing.assert_close(asked.rows(slice(1, 3)).of_final(weights, final[1:3], torch.arange(2)), whole[:, 1:3])


def test_m1_by_hand() -> None:
    """Corrupt: the residual is (2, 2), so both tokens are as likely; clean (2, 5). The reference is the clean run."""
    model, pairs = m1()
    comparison, question = compared(model, pairs, parsed(("logit_diff", "answer_prob", "kl", "rank")))
    runs = comparison.record([])
    asked, first = question.against(runs.weights, runs.source.final), torch.tensor([0])
    p = torch.tensor([2.0, 5.0], dtype=torch.float64).softmax(0)
    expected = float((p * (p / 0.5).log()).sum())
    assert asked.of_final(runs.weights, runs.base.final, first)[:, 0].tolist() == pytest.approx([0, 0.5, expected, 1])
    assert asked.of_final(runs.weights, runs.source.final, first)[:, 0].tolist() == pytest.approx(
        [3, p[1].item(), 0, 1]
    )


def test_a_comparison_without_its_other_run_is_refused() -> None:
    model, pairs = small_model("gpt2"), random_pairs(2)
    comparison, question = compared(model, pairs, parsed(("kl",)))
    final = run(comparison.base.weights, question.prompts).final
    with pytest.raises(ValueError, match="'kl' compares with a reference run; none was given"):
        question.of_final(comparison.base.weights, final, torch.arange(2))
