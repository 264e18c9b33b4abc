"""How well does the model recite? Scores of passages of n prompt and m completion tokens (memorization scores).

- ``memorization_score``: share of completion positions where the greedy completion equals the true one;
- ``exact``: all m are equal (k-extractable, Carlini et al. 2023); ``prefix_match``: length of the leading equal run;
- ``bleu4``: :mod:`memcirc.memorization.bleu`;
- ``logprob``: log-probability of the true completion in nats, summed; ``token_logprobs`` the terms;
- ``min_gap``: smallest gap between best and second-best logit up to and including the first mismatch, so that
  near-ties, which batch shape and dtype can flip, are visible.

One teacher-forced pass gives all but the tokens after the first mismatch; only those are decoded.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from memcirc.memorization.bleu import bleu4
from memcirc.memorization.generation import TeacherForced, check_ids, check_length, continue_from, teacher_forced
from memcirc.models import Model

Progress = Callable[[Iterable[int]], Iterable[int]]


def score(
    model: Model,
    ids: Any,
    prompt_tokens: int = 50,
    generation_tokens: int = 50,
    batch_size: int = 64,
    progress: Progress = iter,
) -> pa.Table:
    """Score passages.

    Args:
        ids: int tensor, array or list [passages, >= prompt_tokens + generation_tokens]; what is longer is cut.
        prompt_tokens, generation_tokens: n and m, both at least 1.
        batch_size: passages in one forward pass; the batches depend on nothing else.
        progress: wraps the iteration over batches, as tqdm does.

    Returns:
        Arrow table, a row a passage: ``memorization_score``, ``exact``, ``prefix_match``, ``bleu4``, ``logprob``,
        ``token_logprobs``, ``completion_ids``, ``min_gap`` and ``tokens`` (prompt and true completion); n and m are in
        the schema's metadata.

    Raises:
        ValueError: passages too short, too long for the model, or with ids outside its vocabulary.
    """
    passages = as_passages(ids, prompt_tokens, generation_tokens)
    check_length(model, passages.shape[1])
    check_ids(model, passages)
    said = [
        teacher_forced(model, torch.from_numpy(passages[start : start + batch_size]), first=prompt_tokens)
        for start in progress(range(0, len(passages), batch_size))
    ]
    rows = _rows(model, passages, said, prompt_tokens, batch_size) if said else []
    lengths = {"prompt_tokens": str(prompt_tokens), "generation_tokens": str(generation_tokens)}
    return pa.Table.from_pylist(rows, schema=SCHEMA).replace_schema_metadata(lengths)


SCHEMA = pa.schema(
    [
        ("tokens", pa.list_(pa.int32())),
        ("completion_ids", pa.list_(pa.int32())),
        ("memorization_score", pa.float64()),
        ("exact", pa.bool_()),
        ("prefix_match", pa.int32()),
        ("bleu4", pa.float64()),
        ("logprob", pa.float64()),
        ("token_logprobs", pa.list_(pa.float32())),
        ("min_gap", pa.float32()),
    ]
)


def as_passages(ids: Any, prompt_tokens: int, generation_tokens: int) -> np.ndarray:
    """int64 [passages, prompt_tokens + generation_tokens]; ValueError for passages that are shorter."""
    for name, value in (("prompt_tokens", prompt_tokens), ("generation_tokens", generation_tokens)):
        if value < 1:
            raise ValueError(f"{name} is {value}; at least 1 is needed")
    width = prompt_tokens + generation_tokens
    if isinstance(ids, Sequence):
        if any(not hasattr(row, "__len__") for row in ids):
            raise ValueError("a list of passages is needed, each a list of token ids; put a single passage into a list")
        shortest = min((len(row) for row in ids), default=width)
        if shortest < width:
            raise ValueError(f"a passage has {shortest} tokens; {prompt_tokens} + {generation_tokens} are needed")
        ids = [list(row[:width]) for row in ids]
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu" and ids.size:
        raise ValueError(f"token ids are whole numbers, not {ids.dtype}")
    passages = ids.astype(np.int64).reshape(len(ids), -1 if len(ids) else width)[:, :width]
    if passages.shape[1] < width:
        raise ValueError(f"passages have {passages.shape[1]} tokens; {prompt_tokens} + {generation_tokens} are needed")
    return passages


def _rows(
    model: Model, passages: np.ndarray, said: list[TeacherForced], prompt_tokens: int, batch_size: int
) -> list[dict[str, Any]]:
    truth = passages[:, prompt_tokens:]
    guesses, logprobs, gaps = (
        torch.cat([getattr(batch, name) for batch in said]).numpy() for name in ("greedy", "logprob", "gap")
    )
    matches = guesses == truth
    prefix = np.where(matches.all(1), truth.shape[1], matches.argmin(1))
    completions = truth.copy()
    broken = np.flatnonzero(prefix < truth.shape[1])
    first_said = guesses[broken, prefix[broken]]
    tails = continue_from(model, passages[broken], prompt_tokens + prefix[broken], first_said, batch_size)
    for row, tail in zip(broken, tails, strict=True):
        completions[row, prefix[row] :] = tail
    return [
        {
            "tokens": passages[row],
            "completion_ids": completions[row],
            "memorization_score": float((completions[row] == truth[row]).mean()),
            "exact": bool(prefix[row] == truth.shape[1]),
            "prefix_match": int(prefix[row]),
            "bleu4": bleu4(truth[row].tolist(), completions[row].tolist()),
            "logprob": float(logprobs[row].astype(np.float64).sum()),
            "token_logprobs": logprobs[row],
            "min_gap": float(gaps[row, : prefix[row] + 1].min()),
        }
        for row in range(len(passages))
    ]
