"""What a patched run is asked: metrics at the end of the prompt, or over a whole teacher-forced answer.

Metrics are those of :mod:`memcirc.metrics` and: ``rank`` (of the best answer among all tokens, from 1); ``exact_match``
(every token of the answer is the argmax, which under greedy decoding is the same as being generated);
``token_logprob_K`` (the answer's token K alone, from 0; NaN where it is shorter).
Metrics of one token read the end of the prompt, also when an answer is teacher-forced behind it. ``kl`` compares with
the source run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.engine.layers import final_normed
from memcirc.engine.weights import Weights
from memcirc.metrics import METRICS as SHARED_METRICS
from memcirc.metrics import (
    Answers,
    check_metric,
    from_columns,
    metric_values,
    reads_columns,
    reads_sequence,
    resolution,
)
from memcirc.metrics import sequence_logprob as summed_logprob
from memcirc.patching.runs import Prompts, logits_of

METRICS = (*SHARED_METRICS, "rank", "exact_match", "token_logprob_K")
TOKEN = "token_logprob_"
COUNTS = ("rank", "exact_match")
ROWS_OF_LOGITS = 1 << 26


def takes_sequence(metric: str) -> bool:
    """Whether a metric reads a whole answer of several tokens."""
    bare = metric.removeprefix("neg_")
    return reads_sequence(metric) or bare == "exact_match" or bare.startswith(TOKEN)


def check_known(metric: str) -> None:
    """Raises ValueError for a metric that is not in ``METRICS``."""
    bare = metric.removeprefix("neg_")
    if not (bare.startswith(TOKEN) and bare.removeprefix(TOKEN).isdigit()):
        check_metric(metric, METRICS[:-1])


@dataclass(frozen=True, eq=False)
class Question:
    """Which metrics are asked of which answers.

    ``answers`` are of single tokens (None where only whole answers are asked for); ``reference`` the source run's
    logits at the end of the prompt, which ``kl`` needs.
    """

    metrics: tuple[str, ...]
    prompts: Prompts
    answers: Answers | None
    reference: Float[Tensor, "batch d_vocab"] | None = None

    def __post_init__(self) -> None:
        for metric in self.metrics:
            check_known(metric)

    def rows(self, rows: slice) -> "Question":
        """The same question for some of the examples."""
        index = torch.arange(len(self.prompts), device=self.prompts.ids.device)[rows]
        answers = None if self.answers is None else self.answers[index]
        reference = None if self.reference is None else self.reference[rows]
        return Question(self.metrics, self.prompts.rows(rows), answers, reference)

    def against(self, weights: Weights, final: Float[Tensor, "batch step d_model"]) -> "Question":
        """The question with the source run as the reference of ``kl``, if that is asked."""
        if not any(metric.removeprefix("neg_") == "kl" for metric in self.metrics):
            return self
        return replace(self, reference=logits_of(weights, final[:, 0]))

    def of_final(
        self, weights: Weights, final: Float[Tensor, "row step d_model"], example: Int[Tensor, " row"]
    ) -> Float[Tensor, "metric row"]:
        """Every metric of every row, from the last residual at the positions read; unembeds the answers' columns alone
        where that is enough."""
        if all(reads_columns(metric) for metric in self.metrics):
            assert self.answers is not None
            answers = self.answers[example]
            hat = final_normed(weights, final[:, 0]).to(weights.dtype)
            columns = weights.unembed.weight.T[self.answers.columns][example]
            logits = (columns * hat[:, None]).sum(-1) + weights.unembed.bias[answers.columns]
            return torch.stack([from_columns(m, logits.double(), answers) for m in self.metrics])
        size = _rows_at_once(weights, final)
        parts = [
            self.of_logits(logits_of(weights, rows), which)
            for rows, which in zip(final.split(size), example.split(size), strict=True)
        ]
        return torch.cat(parts, dim=1)

    def resolution(
        self, weights: Weights, final: Float[Tensor, "row step d_model"], values: Float[Tensor, "metric row"]
    ) -> Float[Tensor, " metric"]:
        """The smallest difference of each metric's mean that means anything (:func:`memcirc.metrics.resolution`)."""
        parts = final.split(_rows_at_once(weights, final))
        largest = torch.stack([logits_of(weights, part).abs().max() for part in parts])
        found = [
            0.0 if metric.removeprefix("neg_") in COUNTS else resolution(metric, largest, of_rows, weights.dtype)
            for metric, of_rows in zip(self.metrics, values, strict=True)
        ]
        return torch.tensor(found, dtype=torch.float64, device=values.device)

    def of_logits(
        self, logits: Float[Tensor, "row step d_vocab"], example: Int[Tensor, " row"]
    ) -> Float[Tensor, "metric row"]:
        """Every metric of every row, from the logits at the positions read."""
        logits = logits.double()
        return torch.stack([self._value(metric, logits, example) for metric in self.metrics])

    def _value(self, metric: str, logits: Tensor, example: Tensor) -> Tensor:
        bare, sign = metric.removeprefix("neg_"), -1.0 if metric.startswith("neg_") else 1.0
        if takes_sequence(metric):
            targets, mask = self.prompts.targets, self.prompts.target_mask
            assert targets is not None
            assert mask is not None
            if bare == "exact_match":
                return sign * ((logits.argmax(-1) == targets[example]) | ~mask[example]).all(-1).to(logits.dtype)
            if bare.startswith(TOKEN):
                return sign * self._of_token(int(bare.removeprefix(TOKEN)), logits, example)
            return sign * summed_logprob(logits, targets[example], mask[example])
        assert self.answers is not None
        answers, first = self.answers[example], logits[:, 0]
        if bare == "rank":
            values = answers.gather(first).masked_fill(answers.answer == 0, -torch.inf).amax(-1)
            return sign * (1.0 + (first > values[:, None]).sum(-1).to(logits.dtype))
        reference = None if self.reference is None else self.reference[example].to(logits.dtype)
        return metric_values(metric, first, answers, reference)

    def _of_token(self, step: int, logits: Tensor, example: Tensor) -> Tensor:
        assert self.prompts.targets is not None
        assert self.prompts.target_mask is not None
        if step >= logits.shape[1]:
            raise ValueError(f"metric '{TOKEN}{step}': the longest answer has {logits.shape[1]} tokens, from 0")
        chosen = logits[:, step].log_softmax(-1).gather(-1, self.prompts.targets[example, step, None])[:, 0]
        return chosen.masked_fill(~self.prompts.target_mask[example, step], torch.nan)


def _rows_at_once(weights: Weights, final: Float[Tensor, "row step d_model"]) -> int:
    return max(1, ROWS_OF_LOGITS // (final.shape[1] * weights.unembed.weight.shape[1]))


def token_answers(
    answers: Sequence[Sequence[int]], wrong: Sequence[Sequence[int]], d_vocab: int, device: torch.device
) -> Answers:
    """Alternatives of one token each, a row an example, as columns; ``wrong`` may be empty where no metric reads it.

    Raises:
        ValueError: an id outside the vocabulary.
    """
    return Answers.of_ids(answers, wrong or answers, d_vocab, device)
