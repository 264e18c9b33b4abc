"""Teacher-forced and greedy passes over batches of token ids of one length.

Greedy decoding follows the truth up to the first position where the teacher-forced argmax differs, so one forward
pass says what the model would do next after every prefix of a passage. Real decoding starts only where it breaks off,
from the keys and values that the teacher-forced pass has left, for all passages of a batch at once
(:mod:`memcirc.memorization.decoding`).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from memcirc.memorization.decoding import Broken, decode, states_of, unembedded
from memcirc.memorization.extraction import Sampling
from memcirc.models import Model

LOGITS_AT_ONCE = 2**24
PIECE_ENDS = (1, 5, 17)


def check_length(model: Model, n_tokens: int) -> None:
    """Raises ValueError when a passage is longer than the model's context."""
    if n_tokens > model.n_ctx:
        raise ValueError(does_not_fit(n_tokens, model.name, model.n_ctx))


def does_not_fit(n_tokens: int, name: str, context: int) -> str:
    """The line about passages that a model cannot read whole."""
    return f"passages of {n_tokens} tokens do not fit {name}'s context of {context}"


def check_ids(model: Model, ids: np.ndarray) -> None:
    """Raises ValueError when a token id lies outside the model's vocabulary."""
    outside = ids[(ids < 0) | (ids >= model.d_vocab)]
    if outside.size:
        raise ValueError(
            f"token id {int(outside[0])} is outside {model.name}'s vocabulary 0..{model.d_vocab - 1}; "
            "were the windows cut with another tokenizer?"
        )


@dataclass(frozen=True)
class TeacherForced:
    """What one forward pass says about each token of a batch of passages; entry i is about token ``first + i``.

    ``greedy``: the token the model would have said there, int64 [batch, n]; ``logprob`` of the true token under the
    model and ``sampled`` under a sampling scheme (-inf where the scheme never says it); ``gap`` between the best and
    the second-best logit; float32 [batch, n]. All on the CPU.
    """

    greedy: Tensor
    logprob: Tensor
    sampled: Tensor
    gap: Tensor


@torch.inference_mode()
def teacher_forced(
    model: Model,
    ids: Tensor,
    first: int,
    sampling: Sampling = Sampling(),  # noqa: B008 (frozen)
    cache: DynamicCache | None = None,
) -> TeacherForced:
    """One forward pass over ids, int64 [batch, pos]; reads the predictions of tokens ``first``.. to the end.

    Args:
        cache: an empty one, to be filled with the keys and values of all tokens but the last.
    """
    assert 1 <= first < ids.shape[1]
    ids = ids.to(model.device)
    states, truth = states_of(model, ids[:, :-1], cache)[:, first - 1 :], ids[:, first:]
    read = []
    rows = max(1, LOGITS_AT_ONCE // (truth.shape[1] * model.d_vocab))
    for start in range(0, len(ids), rows):
        logits = unembedded(model, states[start : start + rows])
        best = logits.topk(min(max(2, sampling.top_k), model.d_vocab), dim=-1)
        said = logits.gather(-1, truth[start : start + rows, :, None])[..., 0]
        logprob = said - logits.logsumexp(-1)
        sampled = logprob if sampling == Sampling() else sampling.logprob(said, best.values, logits)
        read.append((best.indices[..., 0], logprob, sampled, best.values[..., 0] - best.values[..., 1]))
    return TeacherForced(*(torch.cat(parts).cpu() for parts in zip(*read, strict=True)))


@dataclass(frozen=True)
class Recited:
    """How far each passage of a batch is recited.

    ``matched``, int64 [batch]: the leading completion tokens that greedy decoding gets right; ``gap``, float32 [batch]:
    the smallest gap between best and second-best logit up to and including the first mismatch; ``broken``: the passages
    that are not recited to their end, with the index of each in the batch. All indices on the CPU.
    """

    matched: Tensor
    gap: Tensor
    broken: tuple[tuple[Tensor, Broken], ...]


@torch.inference_mode()
def recited(model: Model, ids: Tensor, first: int) -> Recited:
    """How far passages are recited, each left at its first mismatch.

    The prompts are run first, then the true completions in pieces of growing length behind the keys and values of
    what went before, each piece for the passages alone that have not missed.

    Args:
        ids: int64 [batch, pos].
        first: tokens of the prompt.
    """
    n, length = len(ids), ids.shape[1] - first
    matched, gaps = torch.zeros(n, dtype=torch.int64), torch.full((n,), torch.inf)
    ids, rows, cache, broken = ids.to(model.device), torch.arange(n), DynamicCache(), []
    for a, b in pairwise([0, *(end for end in PIECE_ENDS if end < length), length]):
        fed = ids[rows, first + a - 1 if a else 0 : first + b - 1]
        best = unembedded(model, states_of(model, fed, cache)[:, a - b :]).topk(2, dim=-1)
        right = best.indices[..., 0] == ids[rows, first + a : first + b]
        run, gap = up_to_mismatch(right.cpu(), (best.values[..., 0] - best.values[..., 1]).cpu().float())
        matched[rows] += run
        gaps[rows] = gaps[rows].minimum(gap)
        stopped, going = ((run < b - a) == which for which in (True, False))
        if stopped.any():
            said = best.indices[..., 0].cpu()[stopped, run[stopped]]
            broken.append((rows[stopped], Broken.of(cache, stopped.nonzero()[:, 0], first + a + run[stopped], said)))
            cache.batch_select_indices(going.nonzero()[:, 0].to(model.device))
            rows = rows[going]
        if not len(rows):
            break
    return Recited(matched, gaps, tuple(broken))


def up_to_mismatch(right: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
    """Length of each row's leading run of True, int64 [batch], and the smallest gap over it and the entry behind."""
    run = right.long().cumprod(1).sum(1)
    read = torch.arange(right.shape[1]) <= run[:, None]
    return run, gap.masked_fill(~read, torch.inf).amin(1)


@torch.inference_mode()
def continue_from(
    model: Model, passages: np.ndarray, at: np.ndarray, said: np.ndarray, batch_size: int
) -> list[np.ndarray]:
    """What the model goes on to say, to the end of each passage, where its next token is already known.

    Args:
        passages: int64 [n, pos], whole passages.
        at: int64 [n], the length of each context.
        said: int64 [n], the model's greedy token after ``passages[i, :at[i]]``.

    Returns:
        for each passage int64 [pos - at[i]]: ``said[i]`` and the greedy tokens after it.
    """
    out: list[np.ndarray] = [np.empty(0, np.int64)] * len(passages)
    order = np.argsort(at, kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        for row, tail in zip(rows, _tails(model, passages[rows], at[rows], said[rows]), strict=True):
            out[row] = tail.numpy()
    return out


def _tails(model: Model, passages: np.ndarray, at: np.ndarray, said: np.ndarray) -> list[Tensor]:
    """The continuations of one batch."""
    n_tokens, ids = passages.shape[1], torch.from_numpy(passages)
    if model.hf is None:
        contexts = (torch.cat([row[:n], row.new_tensor([s])]) for row, n, s in zip(ids, at, said, strict=True))
        return [_recomputed(model, context, n_tokens)[n:] for context, n in zip(contexts, at.tolist(), strict=True)]
    cache = DynamicCache()
    states_of(model, ids[:, : int(at.max())].to(model.device), cache)
    everyone = torch.arange(len(ids))
    return decode(model, [Broken.of(cache, everyone, torch.from_numpy(at), torch.from_numpy(said))], n_tokens)


def _recomputed(model: Model, context: Tensor, n_tokens: int) -> Tensor:
    """Greedy decoding without a cache, for a micro-model that transformers does not know."""
    while len(context) < n_tokens:
        said = model.logits(context[None])[0, -1].argmax(-1, keepdim=True)
        context = torch.cat([context, said.to(context.device)])
    return context


@torch.inference_mode()
def greedy(model: Model, ids: Tensor, n_tokens: int) -> Tensor:
    """Continue greedily by exactly ``n_tokens``, whatever comes (also EOS).

    Args:
        ids: int64 [batch, pos], all rows of one length.

    Returns:
        int64 [batch, n_tokens] on the CPU.
    """
    check_length(model, ids.shape[1] + n_tokens)
    if n_tokens == 0:
        return ids.new_zeros(len(ids), 0).cpu()
    if model.hf is None:
        return torch.stack([_recomputed(model, row, len(row) + n_tokens)[len(row) :] for row in ids.cpu()])
    cache = DynamicCache()
    states = states_of(model, ids.to(model.device), cache)
    said = unembedded(model, states[:, -1:])[:, 0].argmax(-1)
    at = torch.full((len(ids),), ids.shape[1])
    return torch.stack(decode(model, [Broken.of(cache, torch.arange(len(ids)), at, said)], ids.shape[1] + n_tokens))
