"""Teacher-forced and greedy passes over batches of token ids of one length.

Greedy decoding follows the truth up to the first position where the teacher-forced argmax differs, so one forward
pass says what the model would do next after every prefix of a passage. Real decoding starts only where it breaks off,
from the keys and values that the teacher-forced pass has left, for all passages of a batch at once: each row's slots
are shifted so that its last valid one comes last, the slots before its first are masked, and its positions are its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from memcirc.memorization.extraction import Sampling
from memcirc.models import Model

LOGITS_AT_ONCE = 2**24
PIECE_ENDS = (1, 5, 17)


def check_length(model: Model, n_tokens: int) -> None:
    """Raises ValueError when a passage is longer than the model's context."""
    if n_tokens > model.n_ctx:
        raise ValueError(f"passages of {n_tokens} tokens do not fit {model.name}'s context of {model.n_ctx}")


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
    states, truth = _states(model, ids[:, :-1], cache)[:, first - 1 :], ids[:, first:]
    read = []
    rows = max(1, LOGITS_AT_ONCE // (truth.shape[1] * model.d_vocab))
    for start in range(0, len(ids), rows):
        logits = _unembedded(model, states[start : start + rows])
        best = logits.topk(min(max(2, sampling.top_k), model.d_vocab), dim=-1)
        said = logits.gather(-1, truth[start : start + rows, :, None])[..., 0]
        logprob = said - logits.logsumexp(-1)
        sampled = logprob if sampling == Sampling() else sampling.logprob(said, best.values, logits)
        read.append((best.indices[..., 0], logprob, sampled, best.values[..., 0] - best.values[..., 1]))
    return TeacherForced(*(torch.cat(parts).cpu() for parts in zip(*read, strict=True)))


@dataclass(frozen=True)
class Broken:
    """Rows of a batch at which recitation has broken off, and what decoding goes on from.

    ``layers``: keys and values of a batch that contains the rows, [batch, head, >= at.max(), d_head]; ``rows``, int64
    [n], among them; ``at``, int64 [n], how many tokens of each row are its context; ``said``, int64 [n], the token that
    the model says behind it.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    rows: Tensor
    at: Tensor
    said: Tensor

    @classmethod
    def of(cls, cache: DynamicCache, rows: Tensor, at: Tensor, said: Tensor) -> "Broken":
        return cls(tuple((layer.keys, layer.values) for layer in cache.layers), rows, at, said)


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
        best = _unembedded(model, _states(model, fed, cache)[:, a - b :]).topk(2, dim=-1)
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


def _states(model: Model, ids: Tensor, cache: DynamicCache | None, **where: Tensor | None) -> Tensor:
    """[batch, pos, d_model]: what the unembedding reads; the logits themselves for a micro-model that transformers
    does not know."""
    if model.hf is None:
        return model.logits(ids)
    return model.hf.base_model(
        input_ids=ids, past_key_values=cache, use_cache=cache is not None, **where
    ).last_hidden_state


def _unembedded(model: Model, states: Tensor) -> Tensor:
    """float32 (or 64) logits of states; never more positions than the caller reads."""
    logits = states if model.hf is None else model.hf.get_output_embeddings()(states)
    return logits if logits.dtype == torch.float64 else logits.float()


class _Slots(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values in buffers with room for the tokens to come: a step writes its slot and copies
    nothing, and rows that are finished are left out by a view.

    Args:
        groups: for each group of rows the layer's keys and values, which rows, int64 [n], and the old slot that each
            new one holds (below 0: none, to be masked), int64 [n, slots].
        order: the groups' rows, one group after the other, in the order wanted.
        room: tokens to come.
    """

    def __init__(
        self, groups: Sequence[tuple[tuple[Tensor, Tensor], Tensor, Tensor]], order: Tensor, room: int
    ) -> None:
        super().__init__()
        self.lazy_initialization(*groups[0][0])
        self._used = groups[0][2].shape[1]
        n_rows = sum(len(rows) for _, rows, _ in groups)
        place = order.argsort()
        self._buffers = []
        for states_of in range(2):
            states = groups[0][0][states_of]
            buffer = states.new_empty(n_rows, states.shape[1], self._used + room, states.shape[3])
            start = 0
            for layer, rows, index in groups:
                where = place[start : start + len(rows)]
                buffer[where, :, : self._used] = layer[states_of][rows[:, None], :, index.clamp_min(0)].transpose(1, 2)
                start += len(rows)
            self._buffers.append(buffer)
        self.view(n_rows, 0)

    def view(self, rows: int, first: int) -> None:
        """From now on the first ``rows`` rows alone, from slot ``first`` on."""
        self._rows, self._first = rows, first
        self.keys, self.values = (buffer[:rows, :, first : self._used] for buffer in self._buffers)

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[: self._rows, :, self._used : self._used + 1] = states
        self._used += 1
        self.view(self._rows, self._first)
        return self.keys, self.values


@torch.inference_mode()
def decode(model: Model, groups: Sequence[Broken], n_tokens: int) -> list[Tensor]:
    """Greedy continuations to the end of passages of ``n_tokens``, of rows whose contexts differ in length.

    Returns:
        for each row, one group after the other, int64 [n_tokens - at] on the CPU: ``said`` and what is said after it.
    """
    assert model.hf is not None
    device, at = model.device, torch.cat([group.at for group in groups])
    order = at.argsort(stable=True)  # so that those that go on longest are the first rows
    lengths, sorted_at = at[order].tolist(), at[order].to(device)
    steps, width = n_tokens - 1 - lengths[0], lengths[-1]
    slot, shift = torch.arange(width, device=device), (width - at).to(device)[:, None]
    indices = (slot - shift).split([len(group.at) for group in groups])
    rows = [group.rows.to(device) for group in groups]
    mask = torch.ones(len(at), width + steps, dtype=torch.int64, device=device)
    mask[:, :width] = slot >= width - sorted_at[:, None]
    slots = DynamicCache()
    slots.layers = [
        _Slots(list(zip(states, rows, indices, strict=True)), order.to(device), steps)
        for states in zip(*(group.layers for group in groups), strict=True)
    ]
    said = torch.cat([group.said for group in groups])
    out = torch.empty(len(at), steps + 1, dtype=torch.int64, device=model.device)
    out[:, 0] = said[order].to(model.device)
    going = len(at)
    for step in range(steps):
        while lengths[going - 1] + step == n_tokens - 1:
            going -= 1
        first = width - lengths[going - 1]
        for layer in slots.layers:
            layer.view(going, first)
        states = _states(
            model,
            out[:going, step, None],
            slots,
            attention_mask=None if lengths[0] == lengths[going - 1] else mask[:going, first : width + step + 1],
            position_ids=(sorted_at[:going] + step)[:, None],
        )
        out[:going, step + 1] = _unembedded(model, states)[:, -1].argmax(-1)
    tails = dict(zip(order.tolist(), out.cpu(), strict=True))
    return [tails[i][: n_tokens - length] for i, length in enumerate(at.tolist())]


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
    _states(model, ids[:, : int(at.max())].to(model.device), cache)
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
    states = _states(model, ids.to(model.device), cache)
    said = _unembedded(model, states[:, -1:])[:, 0].argmax(-1)
    at = torch.full((len(ids),), ids.shape[1])
    return torch.stack(decode(model, [Broken.of(cache, torch.arange(len(ids)), at, said)], ids.shape[1] + n_tokens))
