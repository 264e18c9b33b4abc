"""Teacher-forced and greedy passes over batches of token ids of one length.

Greedy decoding follows the truth up to the first position where the teacher-forced argmax differs, so one forward
pass says what the model would do next after every prefix of a passage; real decoding starts only where it breaks off.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from memcirc.models import Model


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

    ``greedy``: the token the model would have said there, int64 [batch, n]; ``logprob`` of the true token and ``gap``
    between the best and the second-best logit, float32 [batch, n].
    """

    greedy: Tensor
    logprob: Tensor
    gap: Tensor


def teacher_forced(model: Model, ids: Tensor, first: int) -> TeacherForced:
    """One forward pass over ids, int64 [batch, pos]; reads the predictions of tokens ``first``.. to the end."""
    assert 1 <= first < ids.shape[1]
    logits = model.logits(ids[:, :-1])[:, first - 1 :].float()
    best = logits.topk(2, dim=-1)
    truth = ids[:, first:].to(logits.device)
    logprob = logits.log_softmax(-1).gather(-1, truth[..., None])[..., 0]
    return TeacherForced(best.indices[..., 0].cpu(), logprob.cpu(), (best.values[..., 0] - best.values[..., 1]).cpu())


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
        return _greedy_without_cache(model, ids, n_tokens)
    step, cache, out = ids.to(model.device), DynamicCache(config=model.hf.config), []
    for _ in range(n_tokens):
        logits = model.hf(input_ids=step, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        step = logits[:, -1].argmax(-1, keepdim=True)
        out.append(step)
    return torch.cat(out, dim=1).cpu()


def _greedy_without_cache(model: Model, ids: Tensor, n_tokens: int) -> Tensor:
    """The same for a micro-model that transformers does not know."""
    sequence = ids.to(model.device)
    for _ in range(n_tokens):
        sequence = torch.cat([sequence, model.logits(sequence)[:, -1].argmax(-1, keepdim=True)], dim=1)
    return sequence[:, ids.shape[1] :].cpu()


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
    for length, rows in _by_length(at, batch_size):
        context = np.concatenate([passages[rows, :length], said[rows, None]], axis=1)
        rest = greedy(model, torch.from_numpy(context), passages.shape[1] - length - 1).numpy()
        for row, tail in zip(rows, rest, strict=True):
            out[row] = np.concatenate([said[row : row + 1], tail])
    return out


def _by_length(lengths: np.ndarray, batch_size: int) -> Iterator[tuple[int, np.ndarray]]:
    """Rows of equal length, at most ``batch_size`` at a time, in a fixed order."""
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for start in range(0, len(rows), batch_size):
            yield int(length), rows[start : start + batch_size]
