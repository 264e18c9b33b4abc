"""One vocabulary of metrics for attribution, search and verification: logits at the answer position in, one value
for each pair out. Sums and means over pairs are taken by the caller, in one place.

For logits z, a token value v(t) is z_t (``logit``), softmax(z)_t (``prob``) or log softmax(z)_t (``logprob``); a pair's
alternatives are averaged. Then

- ``logit_diff``, ``prob_diff``, ``logprob_diff``: v(answer) - v(wrong answer);
- ``answer_logit``, ``wrong_answer_logit`` and the same with ``prob``, ``logprob``: v of one of them;
- ``correct``: 1 where the argmax is an answer, else 0;
- ``kl``: KL(reference || run) in nats, for a given reference distribution;
- ``sequence_logprob``: the log-probability of a whole teacher-forced answer.

A leading ``neg_`` flips the sign.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memcirc.pairs.record import Pairs

ANSWER_METRICS = tuple(
    name
    for value in ("logit", "prob", "logprob")
    for name in (f"{value}_diff", f"answer_{value}", f"wrong_answer_{value}")
)
METRICS = (*ANSWER_METRICS, "correct", "kl", "sequence_logprob")
DIFFERENTIABLE = (*ANSWER_METRICS, "kl", "sequence_logprob")


def check_metric(name: str, accepted: tuple[str, ...] = METRICS) -> None:
    """Raises ValueError, naming what is accepted, unless ``name`` (after any ``neg_``) is one of ``accepted``."""
    if not isinstance(name, str) or name.removeprefix("neg_") not in accepted:
        raise ValueError(f"metric {name!r} is not known; accepted, each also with neg_: {', '.join(accepted)}")


def reads_columns(name: str) -> bool:
    """Whether a metric needs the logits of the answers' columns alone."""
    return name.removeprefix("neg_") in ("logit_diff", "answer_logit", "wrong_answer_logit")


def reads_sequence(name: str) -> bool:
    """Whether a metric reads every position of a whole answer."""
    return name.removeprefix("neg_") == "sequence_logprob"


@dataclass(frozen=True)
class Answers:
    """The answers of several pairs as index tensors.

    ``columns`` lists each pair's answers, then its wrong answers, padded; ``answer`` and ``wrong`` weigh them, so that
    ``(values * answer).sum(-1)`` is the mean over a pair's answers.
    """

    columns: Tensor  # int64 [pairs, alternative]
    answer: Tensor  # float [pairs, alternative]
    wrong: Tensor  # float [pairs, alternative]

    @classmethod
    def of(cls, pairs: Pairs, d_vocab: int, device: torch.device | str = "cpu") -> "Answers":
        """Those of pairs; raises as :meth:`of_ids`."""
        return cls.of_ids([p.answer_ids for p in pairs], [p.wrong_answer_ids for p in pairs], d_vocab, device)

    @classmethod
    def of_ids(
        cls,
        answers: Sequence[Sequence[int]],
        wrong_answers: Sequence[Sequence[int]],
        d_vocab: int,
        device: torch.device | str = "cpu",
    ) -> "Answers":
        """Those of a row of alternatives a pair; ValueError for an id outside the vocabulary."""
        width = max(map(len, answers)) + max(map(len, wrong_answers))
        columns = torch.zeros(len(answers), width, dtype=torch.int64)
        answer, wrong = torch.zeros(2, len(answers), width, dtype=torch.float64)
        for row, (right, other) in enumerate(zip(answers, wrong_answers, strict=True)):
            n, m = len(right), len(other)
            columns[row, : n + m] = torch.tensor([*right, *other])
            answer[row, :n] = 1 / n
            wrong[row, n : n + m] = 1 / m
        if columns.min() < 0 or columns.max() >= d_vocab:
            outside = int(columns[(columns < 0) | (columns >= d_vocab)][0])
            raise ValueError(f"answer id {outside} is outside the vocabulary 0..{d_vocab - 1}")
        return cls(columns.to(device), answer.to(device), wrong.to(device))

    def __getitem__(self, rows: Tensor) -> "Answers":
        return Answers(self.columns[rows], self.answer[rows], self.wrong[rows])

    def gather(self, logits: Tensor) -> Tensor:
        """[..., pairs, d_vocab] -> [..., pairs, alternative]."""
        return logits.gather(-1, self.columns.expand(*logits.shape[:-1], -1))

    def weights(self, metric: str) -> Tensor:
        """float [pairs, alternative]: how an answer metric adds up the columns, sign included."""
        bare = metric.removeprefix("neg_")
        if bare.endswith("_diff"):
            weights = self.answer - self.wrong
        else:
            weights = self.wrong if bare.startswith("wrong_") else self.answer
        return -weights if metric.startswith("neg_") else weights


def resolution(metric: str, logits: Tensor, values: Tensor, dtype: torch.dtype) -> float:
    """The smallest difference of a metric's mean that logits computed in ``dtype`` can carry.

    Two ways to compute the same logits differ by some units in the last place of the largest of them (measured over
    small models of every architecture: up to 4 in float32 and float64, where products are accumulated in that
    precision; a seventh of one in half precisions, where they are in float32). Probabilities move by that, times
    themselves; ``correct`` is a count and has no rounding.

    Args:
        logits: those that the metric was computed from; values: the metric of every pair.
    """
    bare = metric.removeprefix("neg_")
    if bare == "correct" or not logits.numel():
        return 0.0
    units = 16 if dtype.itemsize >= 4 else 1
    moved = units * torch.finfo(dtype).eps * float(logits.abs().max())
    relative = bare.startswith("prob") or bare.endswith("_prob")
    return moved * float(values.abs().max()) if relative else moved


def from_columns(metric: str, columns: Tensor, answers: Answers) -> Tensor:
    """A logit metric from the answers' logits alone: float [..., pairs, alternative] -> [..., pairs]."""
    assert reads_columns(metric), metric
    return (columns * answers.weights(metric).to(columns.dtype)).sum(-1)


def metric_values(metric: str, logits: Tensor, answers: Answers, reference: Tensor | None = None) -> Tensor:
    """The metric of each pair, differentiable where it can be.

    Args:
        metric: any of ``METRICS`` but ``sequence_logprob`` (:func:`sequence_logprob`), or with ``neg_`` before it.
        logits: float [..., pairs, d_vocab] at each pair's answer position.
        answers: of the same pairs.
        reference: float [pairs, d_vocab], logits of the run that ``kl`` compares with.

    Returns:
        float [..., pairs].

    Raises:
        ValueError: unknown metric; ``kl`` without a reference.
    """
    check_metric(metric)
    bare = metric.removeprefix("neg_")
    if bare in ANSWER_METRICS:
        if bare.endswith("logprob") or bare == "logprob_diff":
            logits = logits.log_softmax(-1)
        elif bare.endswith("prob") or bare == "prob_diff":
            logits = logits.softmax(-1)
        columns = answers.gather(logits)
        return (columns * answers.weights(metric).to(columns.dtype)).sum(-1)
    sign = -1 if metric.startswith("neg_") else 1
    if bare == "correct":
        best = logits.argmax(-1, keepdim=True)
        return sign * ((answers.columns == best) & (answers.answer > 0)).any(-1).to(logits.dtype)
    assert bare == "kl", "a metric of whole answers is computed by sequence_logprob"
    if reference is None:
        raise ValueError("metric 'kl' compares with a reference run; none was given")
    expected, actual = reference.log_softmax(-1), logits.log_softmax(-1)
    return sign * (expected.exp() * (expected - actual)).sum(-1)


def sequence_logprob(logits: Tensor, targets: Tensor, target_mask: Tensor) -> Tensor:
    """Sum of log p(target) over a teacher-forced answer.

    Args:
        logits: float [..., pairs, step, d_vocab].
        targets: int64 [pairs, step].
        target_mask: bool [pairs, step], False where ``targets`` is padding.

    Returns:
        float [..., pairs], in nats.
    """
    chosen = logits.log_softmax(-1).gather(-1, targets.expand(logits.shape[:-1])[..., None])[..., 0]
    return (chosen * target_mask).sum(-1)
