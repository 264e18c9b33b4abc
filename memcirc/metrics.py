"""One vocabulary of metrics for attribution, search, verification and patching: logits in, one value for each pair out.
Sums and means over pairs are taken by the caller, in one place.

For logits z, a token value v(t) is z_t (``logit``), softmax(z)_t (``prob``) or log softmax(z)_t (``logprob``); a pair's
alternatives are averaged. Then, at the position where a pair's answer is read,

- ``logit_diff``, ``prob_diff``, ``logprob_diff``: v(answer) - v(wrong answer);
- ``answer_logit``, ``wrong_answer_logit`` and the same with ``prob``, ``logprob``: v of one of them;
- ``correct``: 1 where the argmax is an answer, else 0; ``rank``: of the best answer among all tokens, from 1;
- ``kl``: KL(reference || run) in nats, for a given reference distribution;

and over a whole teacher-forced answer

- ``sequence_logprob``: its log-probability, in nats;
- ``exact_match``: 1 where every token of it is the argmax (which under greedy decoding is the same as being generated);
- ``token_logprob_K``: the log-probability of its token K alone, from 0; NaN where it is shorter.

A leading ``neg_`` flips the sign. A name is parsed once, by :meth:`Metric.parse`; a new metric is one entry of
``TABLE``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from memcirc.pairs.record import Pairs

COLUMNS, POSITION, SEQUENCE = "columns", "position", "sequence"


@dataclass(frozen=True)
class Answers:
    """The answers of several pairs as index tensors.

    ``columns`` lists each pair's answers, then its wrong answers, padded; ``answer`` and ``wrong`` weigh them, so that
    ``(values * answer).sum(-1)`` is the mean over a pair's answers.
    """

    columns: Int[Tensor, "pairs alternative"]
    answer: Float[Tensor, "pairs alternative"]
    wrong: Float[Tensor, "pairs alternative"]

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

    def gather(self, logits: Float[Tensor, "*rest pairs d_vocab"]) -> Float[Tensor, "*rest pairs alternative"]:
        """The logits of each pair's answers and wrong answers."""
        return logits.gather(-1, self.columns.expand(*logits.shape[:-1], -1))


@dataclass(frozen=True, eq=False)
class Labels:
    """What the logits of several pairs are held against.

    ``answers`` of one token each, for what is read at one position; ``targets`` and ``target_mask`` (False where they
    are padding), for what reads whole answers; ``reference``, the logits of the run that ``kl`` compares with.
    """

    answers: Answers | None = None
    targets: Int[Tensor, "pairs step"] | None = None
    target_mask: Bool[Tensor, "pairs step"] | None = None
    reference: Float[Tensor, "pairs d_vocab"] | None = None

    def columns(self) -> Answers:
        """The answers of one token, which a metric of one position needs."""
        assert self.answers is not None, "a metric of one position was asked without answers"
        return self.answers

    def whole(self) -> tuple[Tensor, Tensor]:
        """Targets and their mask, which a metric of whole answers needs."""
        assert self.targets is not None, "a metric of whole answers was asked without targets"
        assert self.target_mask is not None, "targets come with a mask"
        return self.targets, self.target_mask


Compute = Callable[[Tensor, Labels], Tensor]


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        reads: the logits that it takes: ``columns``, [..., pairs, alternative] of the answers alone; ``position``,
            [..., pairs, d_vocab] where the answer is read; ``sequence``, [..., pairs, step, d_vocab] of a whole answer.
        compute: from those logits and labels the unsigned value, float [..., pairs].
        differentiable: whether attribution can take it as its objective.
        compares: whether it needs ``Labels.reference``; reads_wrong: whether it needs wrong answers.
        unit: what it counts in; empty for a share or a number.
        rounding: how far two ways to compute the same logits may move it, in units of what the logits move
            (:meth:`resolution`): 1; ``None`` for itself times that, as a probability; 0 for a count.
    """

    name: str
    reads: str
    compute: Compute
    sign: int = 1
    differentiable: bool = True
    compares: bool = False
    reads_wrong: bool = False
    unit: str = "nats"
    rounding: int | None = 1

    @classmethod
    def parse(cls, name: str, accepted: Sequence[str] | None = None) -> "Metric":
        """The metric of a name.

        Args:
            accepted: bare names; default: ``METRICS``.

        Raises:
            ValueError: it is none of them, also without a leading ``neg_``; the message lists them.
        """
        accepted = METRICS if accepted is None else accepted
        if not isinstance(name, str):
            raise ValueError(f"metric {name!r} is not known; accepted, each also with neg_: {', '.join(accepted)}")
        bare = name.removeprefix("neg_")
        token = bare.removeprefix(TOKEN)
        if bare != token and token.isdecimal() and EACH_TOKEN in accepted:
            metric = cls(bare, SEQUENCE, partial(_token_logprob, step=int(token)), differentiable=False)
        elif bare in accepted and bare in TABLE:
            metric = TABLE[bare]
        else:
            raise ValueError(f"metric {name!r} is not known; accepted, each also with neg_: {', '.join(accepted)}")
        return metric if bare == name else replace(metric, name=name, sign=-1)

    def __call__(self, logits: Float[Tensor, "..."], labels: Labels) -> Float[Tensor, "... pairs"]:
        """The metric of each pair, from the logits that it reads; differentiable where it can be.

        Raises:
            ValueError: a reference is needed, and there is none.
        """
        if self.compares and labels.reference is None:
            raise ValueError(f"metric {self.name!r} compares with a reference run; none was given")
        return self.sign * self.compute(logits, labels)

    def of_position(self, logits: Float[Tensor, "*rest pairs d_vocab"], labels: Labels) -> Float[Tensor, "*rest pairs"]:
        """The same from the logits at one position, for metrics that do not read whole answers."""
        assert self.reads != SEQUENCE, self.name
        return self(labels.columns().gather(logits) if self.reads == COLUMNS else logits, labels)

    def resolution(self, logits: Float[Tensor, "..."], values: Float[Tensor, "..."], dtype: torch.dtype) -> float:
        """The smallest difference of one pair's metric that logits computed in ``dtype`` can carry.

        Two ways to compute the same logits differ by some units in the last place of the largest of them (measured over
        small models of every architecture: up to 6 in float32 and float64, where products are accumulated in that
        precision; below one in half precisions, where they are in float32). Pairs round independently, so that a mean
        over n of them is finer by the root of n.

        Args:
            logits: those that the metric was computed from; values: the metric of every pair.
        """
        if not logits.numel():
            return 0.0
        units = 16 if dtype.itemsize >= 4 else 1
        moved = units * torch.finfo(dtype).eps * float(logits.abs().max())
        return moved * (float(values.abs().max()) if self.rounding is None else self.rounding)


def _weighed(columns: Tensor, weights: Tensor) -> Tensor:
    return (columns * weights.to(columns.dtype)).sum(-1)


def _of_answers(
    logits: Tensor, labels: Labels, value: Callable[[Tensor], Tensor] | None, weigh: Callable[[Answers], Tensor]
) -> Tensor:
    """A weighed sum of token values; ``value`` None takes the columns' logits as they come."""
    answers = labels.columns()
    return _weighed(logits if value is None else answers.gather(value(logits)), weigh(answers))


def _correct(logits: Tensor, labels: Labels) -> Tensor:
    answers, best = labels.columns(), logits.argmax(-1, keepdim=True)
    return ((answers.columns == best) & (answers.answer > 0)).any(-1).to(logits.dtype)


def _rank(logits: Tensor, labels: Labels) -> Tensor:
    answers = labels.columns()
    best = answers.gather(logits).masked_fill(answers.answer == 0, -torch.inf).amax(-1)
    return 1 + (logits > best[..., None]).sum(-1).to(logits.dtype)


def _kl(logits: Tensor, labels: Labels) -> Tensor:
    assert labels.reference is not None
    expected, actual = labels.reference.to(logits.dtype).log_softmax(-1), logits.log_softmax(-1)
    return (expected.exp() * (expected - actual)).sum(-1)


def _token_logprobs(logits: Tensor, targets: Tensor) -> Tensor:
    """float [..., pairs, step]."""
    return logits.log_softmax(-1).gather(-1, targets.expand(logits.shape[:-1])[..., None])[..., 0]


def _sequence_logprob(logits: Tensor, labels: Labels) -> Tensor:
    targets, mask = labels.whole()
    return (_token_logprobs(logits, targets) * mask).sum(-1)


def _exact_match(logits: Tensor, labels: Labels) -> Tensor:
    targets, mask = labels.whole()
    return ((logits.argmax(-1) == targets) | ~mask).all(-1).to(logits.dtype)


def _token_logprob(logits: Tensor, labels: Labels, step: int) -> Tensor:
    targets, mask = labels.whole()
    if step >= targets.shape[1]:
        raise ValueError(f"metric '{TOKEN}{step}': the longest answer has {targets.shape[1]} tokens, from 0")
    found = _token_logprobs(logits[..., step : step + 1, :], targets[:, step : step + 1])[..., 0]
    return found.masked_fill(~mask[:, step], torch.nan)


def _answer_metrics() -> Iterator[Metric]:
    values = {"logit": None, "prob": partial(torch.softmax, dim=-1), "logprob": partial(torch.log_softmax, dim=-1)}
    weights: dict[str, Callable[[Answers], Tensor]] = {
        "{}_diff": lambda answers: answers.answer - answers.wrong,
        "answer_{}": lambda answers: answers.answer,
        "wrong_answer_{}": lambda answers: answers.wrong,
    }
    for word, value in values.items():
        for name, weigh in weights.items():
            compute = partial(_of_answers, value=value, weigh=weigh)
            reads, wrong = COLUMNS if value is None else POSITION, name != "answer_{}"
            unit, rounding = ("", None) if word == "prob" else (Metric.unit, Metric.rounding)
            yield Metric(name.format(word), reads, compute, reads_wrong=wrong, unit=unit, rounding=rounding)


TOKEN = "token_logprob_"
EACH_TOKEN = f"{TOKEN}K"
TABLE = {
    metric.name: metric
    for metric in (
        *_answer_metrics(),
        Metric("correct", POSITION, _correct, differentiable=False, unit="", rounding=0),
        Metric("kl", POSITION, _kl, compares=True),
        Metric("sequence_logprob", SEQUENCE, _sequence_logprob),
        Metric("rank", POSITION, _rank, differentiable=False, unit="", rounding=0),
        Metric("exact_match", SEQUENCE, _exact_match, differentiable=False, unit="", rounding=0),
    )
}
METRICS = tuple(TABLE)
DIFFERENTIABLE = tuple(name for name, metric in TABLE.items() if metric.differentiable)
WITH_TOKENS = (*METRICS, EACH_TOKEN)
"""The metrics of sweeps, which may be undefined for a pair."""
