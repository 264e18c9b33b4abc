"""Divergence points: how short must the context become before recitation breaks off, and what is said instead?

Definition. Let N be a passage's length and n its prompt length. At context length L the model continues greedily to
the end of the passage; s(L) is the score of that continuation against the truth, s(n + 1) = 1. Going down from L = n,
the divergence point is the first L where

    (s(L+1) - s(L)) / s(L+1) > drop     and     the next greedy token differs from the truth.

Exact shortcut. One teacher-forced pass gives the next greedy token for every L. Let j be the first L' >= L at which it
differs from the truth: the continuation from L is the truth up to j, then what the model says from j on. So

1. only mismatches can be divergence points, and only mismatches are generated from;
2. they are visited from the last one <= n downwards, for all passages at once, and a passage leaves the search as soon
   as its point is found.
"""

from dataclasses import dataclass

import numpy as np
import torch

from memcirc.config import check_count
from memcirc.ids import Ids, integers
from memcirc.memorization.bleu import bleu4
from memcirc.memorization.generation import check_ids, check_length, continue_from, teacher_forced
from memcirc.memorization.scores import as_passages
from memcirc.models import Model


@dataclass(frozen=True)
class DivergencePoint:
    """Where a passage diverges: after its first ``length`` tokens the truth goes on with ``true_continuation``, the
    model with ``model_continuation`` (ids from that length to the end of the passage). ``score_before`` is
    s(length + 1), ``score_after`` is s(length)."""

    length: int
    true_continuation: tuple[int, ...]
    model_continuation: tuple[int, ...]
    score_before: float
    score_after: float


def divergence_points(
    model: Model,
    ids: Ids,
    prompt_tokens: int = 50,
    generation_tokens: int = 50,
    metric: str = "bleu",
    drop: float = 0.3,
    batch_size: int = 64,
) -> list[DivergencePoint | None]:
    """The divergence point of each passage, None where there is none.

    Args:
        ids: int tensor, array or list [passages, >= prompt_tokens + generation_tokens].
        metric: score of a continuation, BLEU-4 or the share of equal tokens.
        drop: relative drop that counts as breaking off, in 0..1.

    Raises:
        ValueError: unknown metric, a drop outside 0..1, or passages that :func:`memcirc.score` would refuse.
    """
    if metric not in ("bleu", "memorization"):
        raise ValueError(f"divergence metric {metric!r} is not known; accepted: bleu, memorization")
    if not 0 <= drop <= 1:
        raise ValueError(f"drop is {drop}; accepted: 0 to 1")
    check_count("batch_size", batch_size)
    passages = as_passages(ids, prompt_tokens, generation_tokens)
    check_length(model, passages.shape[1])
    check_ids(model, passages)
    guesses = _next_tokens(model, passages, batch_size)
    search = _Search(model, passages, guesses, prompt_tokens, metric, drop, batch_size)
    return search.run()


def _next_tokens(model: Model, passages: np.ndarray, batch_size: int) -> np.ndarray:
    """int64 [passages, pos]: what the model says after each prefix, at the index of that prefix's length (0: -1)."""
    guesses = np.full_like(passages, -1)
    for start in range(0, len(passages), batch_size):
        rows = slice(start, start + batch_size)
        guesses[rows, 1:] = teacher_forced(model, torch.from_numpy(passages[rows]), first=1).greedy.numpy()
    return guesses


@dataclass(frozen=True)
class _Search:
    model: Model
    passages: np.ndarray
    guesses: np.ndarray
    prompt_tokens: int
    metric: str
    drop: float
    batch_size: int

    def run(self) -> list[DivergencePoint | None]:
        n_passages, n = len(self.passages), self.prompt_tokens
        mismatches = [
            np.flatnonzero(row[1:] != truth[1:]) + 1 for row, truth in zip(self.guesses, self.passages, strict=True)
        ]
        pending = [[int(j) for j in row if j <= n] for row in mismatches]
        points: list[DivergencePoint | None] = [None] * n_passages
        said_from = self._beyond_the_prompt(
            mismatches, [row for row in range(n_passages) if pending[row] and pending[row][-1] < n]
        )
        active = [row for row in range(n_passages) if pending[row]]
        while active:
            at = np.array([pending[row].pop() for row in active])
            tails = continue_from(self.model, self.passages[active], at, self.guesses[active, at], self.batch_size)
            for row, length, tail in zip(active, at.tolist(), tails, strict=True):
                before = 1.0 if length == n else self._score(row, length + 1, said_from.get(row))
                said_from[row] = (length, tail)
                after = self._score(row, length, said_from[row])
                if before > 0 and (before - after) / before > self.drop:
                    truth = self.passages[row, length:]
                    points[row] = DivergencePoint(length, _ints(truth), _ints(tail), before, after)
            active = [row for row in active if points[row] is None and pending[row]]
        return points

    def _beyond_the_prompt(self, mismatches: list[np.ndarray], rows: list[int]) -> dict[int, tuple[int, np.ndarray]]:
        """For passages recited at L = n: where the first mismatch after n lies, and what is said from there."""
        later = {row: mismatches[row][mismatches[row] > self.prompt_tokens] for row in rows}
        rows = [row for row in rows if later[row].size]
        at = np.array([later[row][0] for row in rows], dtype=np.int64)
        tails = continue_from(self.model, self.passages[rows], at, self.guesses[rows, at], self.batch_size)
        return {row: (int(j), tail) for row, j, tail in zip(rows, at, tails, strict=True)}

    def _score(self, row: int, length: int, said: tuple[int, np.ndarray] | None) -> float:
        """s(length), given the first mismatch at or after it and what the model says from there (None: no mismatch)."""
        truth = self.passages[row, length:]
        continuation = truth
        if said is not None:
            continuation = np.concatenate([self.passages[row, length : said[0]], said[1]])
        if self.metric == "bleu":
            return bleu4(truth.tolist(), continuation.tolist())
        return float((truth == continuation).mean())


def _ints(values: np.ndarray) -> tuple[int, ...]:
    return tuple(int(v) for v in values)


def next_tokens(model: Model, ids: Ids, batch_size: int = 64) -> np.ndarray:
    """What the model says greedily after each prefix of each passage.

    Returns:
        int64 [passages, pos]; entry L is the token said after the first L tokens (entry 0 is -1).
    """
    passages = integers(ids)
    check_length(model, passages.shape[1])
    check_ids(model, passages)
    return _next_tokens(model, passages, batch_size)
