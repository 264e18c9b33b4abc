"""How well does the model recite? Scores of passages of n prompt and m completion tokens (memorization scores).

- ``exact``: all m greedy tokens are the true ones (k-extractable, Carlini et al. 2023); ``prefix_match``: length of the
  leading run of equal tokens; ``min_gap``: smallest gap between best and second-best logit up to and including the
  first mismatch; ``near_tie``: it is so small that batch shape and rounding can decide (:data:`NEAR_TIE`);
- ``logprob``: log-probability of the true completion in nats, summed; ``token_logprobs`` the terms;
  ``extraction_logprob``: the same under a sampling scheme (:mod:`memcirc.memorization.extraction`);
- ``memorization_score``: share of positions where the greedy completion equals the true one; ``bleu4``:
  :mod:`memcirc.memorization.bleu`; ``edit_similarity``: 1 - Levenshtein distance / m, so that near-verbatim recitation
  with a token too many or too few is not taken for none; ``completion_ids``.

The levels are ``exact``, the first group alone, which leaves a passage at its first mismatch; ``logprob``, with the
second, by one teacher-forced pass; ``completion``, with the third, which decodes, but only from the first mismatch on;
and ``full``, all. Batches are rows 0 to ``batch_size`` - 1 and so on, whatever is decoded; smaller where memory ends.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor
from transformers import DynamicCache

from memcirc.config import check_count
from memcirc.ids import Ids, id_rows, integers, plain_ids
from memcirc.memorization.bleu import bleu4
from memcirc.memorization.config import LEVELS
from memcirc.memorization.decoding import Broken, decode
from memcirc.memorization.extraction import Sampling
from memcirc.memorization.generation import (
    Recited,
    TeacherForced,
    check_ids,
    check_length,
    continue_from,
    recited,
    teacher_forced,
    up_to_mismatch,
)
from memcirc.memorization.lift import beside_twins
from memcirc.models import Model
from memcirc.work.fitting import Fitting

Progress = Callable[[Iterable[int]], Iterable[int]]

NEAR_TIE = {torch.float64: 1e-9, torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 0.25}

_COLUMNS = {
    "exact": [
        ("tokens", pa.list_(pa.int32())),
        ("exact", pa.bool_()),
        ("prefix_match", pa.int32()),
        ("min_gap", pa.float32()),
        ("near_tie", pa.bool_()),
    ],
    "logprob": [
        ("logprob", pa.float64()),
        ("token_logprobs", pa.list_(pa.float32())),
        ("extraction_logprob", pa.float64()),
    ],
    "completion": [
        ("completion_ids", pa.list_(pa.int32())),
        ("memorization_score", pa.float64()),
        ("bleu4", pa.float64()),
        ("edit_similarity", pa.float64()),
    ],
}


def schema_of(level: str) -> pa.Schema:
    """The columns of a level's table; ValueError for an unknown level."""
    if level not in tuple(LEVELS):
        raise ValueError(f"level {level!r} of scores is not known; accepted: {', '.join(LEVELS)}")
    return pa.schema([column for name in LEVELS[level] for column in _COLUMNS[name]])


def score(
    model: Model,
    ids: Ids,
    prompt_tokens: int = 50,
    generation_tokens: int = 50,
    batch_size: int = 64,
    progress: Progress = iter,
    level: str = "full",
    sampling: Sampling = Sampling(),  # noqa: B008 (frozen)
    rerun_near_ties: bool = False,
) -> pa.Table:
    """Score passages.

    Args:
        ids: int tensor, array or list [passages, >= prompt_tokens + generation_tokens]; what is longer is cut.
        prompt_tokens, generation_tokens: n and m, both at least 1.
        batch_size: passages in one forward pass; the batches depend on nothing else, unless memory runs out: then they
            are halved, and a warning says so.
        progress: wraps the iteration over batches, as tqdm does.
        level: ``exact``, ``logprob``, ``completion`` or ``full``: which scores are wanted, the cheap ones alone or all.
        sampling: the scheme of ``extraction_logprob``.
        rerun_near_ties: score passages with a near-tie again, each alone, and keep that.

    Returns:
        Arrow table, a row a passage, with the columns of :func:`schema_of`, of a model beside its twin also with those
        of :mod:`memcirc.memorization.lift`; n and m are in the schema's metadata.

    Raises:
        ValueError: an unknown level, a batch size below 1; passages too short, too long for the model, or with ids
            outside its vocabulary.
    """
    schema = schema_of(level)
    check_count("batch_size", batch_size)
    passages = as_passages(ids, prompt_tokens, generation_tokens)
    check_length(model, passages.shape[1])
    check_ids(model, passages)
    scored = [model] if model.twin is None else [model, model.twin]
    rows: list[list[dict[str, Any]]] = [[] for _ in scored]
    fitting = Fitting(batch_size)
    for start in progress(range(0, len(passages), batch_size)):
        batch = passages[start : start + batch_size]
        for each, found in zip(scored, rows, strict=True):
            scores_in = partial(_scored_in, each, batch, prompt_tokens, level, sampling)
            for row, one in enumerate(fitting(scores_in, partial(min, len(batch)))):
                if rerun_near_ties and one["near_tie"]:
                    (one,) = _scored(each, batch[row : row + 1], prompt_tokens, level, sampling)
                found.append(one)
    lengths = {
        "prompt_tokens": str(prompt_tokens),
        "generation_tokens": str(generation_tokens),
        "sampling": f"temperature {sampling.temperature:g}, top_k {sampling.top_k or 'all'}",
    }
    tables = [pa.Table.from_pylist(found, schema=schema) for found in rows]
    table = tables[0] if model.twin is None else beside_twins(*tables)
    return table.replace_schema_metadata(lengths)


def as_passages(ids: Ids, prompt_tokens: int, generation_tokens: int) -> np.ndarray:
    """int64 [passages, prompt_tokens + generation_tokens]; ValueError for passages that are shorter."""
    for name, value in (("prompt_tokens", prompt_tokens), ("generation_tokens", generation_tokens)):
        check_count(name, value)
    width = prompt_tokens + generation_tokens
    if not isinstance(ids, Tensor | np.ndarray):
        rows = plain_ids(ids)
        if isinstance(rows, int) or any(isinstance(row, int) for row in rows):
            raise ValueError("a list of passages is needed, each a list of token ids; put a single passage into a list")
        shortest = min((len(row) for row in rows), default=width)
        if shortest < width:
            raise ValueError(f"a passage has {shortest} tokens; {prompt_tokens} + {generation_tokens} are needed")
        ids = np.array([row[:width] for row in id_rows(rows)], np.int64).reshape(-1, width)
    passages = integers(ids)
    if passages.ndim != 2:
        raise ValueError(f"passages are [passages, tokens]; these have the shape {list(passages.shape)}")
    if passages.shape[1] < width:
        raise ValueError(f"passages have {passages.shape[1]} tokens; {prompt_tokens} + {generation_tokens} are needed")
    return passages[:, :width]


def _scored_in(
    model: Model, passages: np.ndarray, prompt_tokens: int, level: str, sampling: Sampling, size: int
) -> list[dict[str, Any]]:
    """The rows of one batch, so many passages at a time."""
    parts = (passages[start : start + size] for start in range(0, len(passages), size))
    return [row for part in parts for row in _scored(model, part, prompt_tokens, level, sampling)]


def _scored(
    model: Model, passages: np.ndarray, prompt_tokens: int, level: str, sampling: Sampling
) -> list[dict[str, Any]]:
    """The rows of one batch."""
    length = passages.shape[1] - prompt_tokens
    read, state = _read(model, torch.from_numpy(passages), prompt_tokens, level, sampling)
    prefix, gaps = state.matched, state.gap
    completions = _completions(model, passages, prompt_tokens, state) if "completion" in LEVELS[level] else None
    rows: list[dict[str, Any]] = [
        {
            "tokens": tokens,
            "exact": n == length,
            "prefix_match": n,
            "min_gap": gap,
            "near_tie": gap < NEAR_TIE[model.dtype],
        }
        for tokens, n, gap in zip(passages, prefix.tolist(), gaps.tolist(), strict=True)
    ]
    for i, row in enumerate(rows):
        if read is not None:
            row["logprob"] = float(read.logprob[i].double().sum())
            row["token_logprobs"] = read.logprob[i].numpy()
            row["extraction_logprob"] = float(read.sampled[i].double().sum())
        if completions is not None:
            truth, said = passages[i, prompt_tokens:].tolist(), completions[i].tolist()
            row["completion_ids"] = said
            row["memorization_score"] = sum(map(int.__eq__, truth, said)) / length
            row["bleu4"] = bleu4(truth, said)
            row["edit_similarity"] = Levenshtein.normalized_similarity(truth, said)
    return rows


def _read(
    model: Model, ids: Tensor, prompt_tokens: int, level: str, sampling: Sampling
) -> tuple[TeacherForced | None, Recited]:
    """What a teacher-forced pass says, where one is needed, and how far the passages are recited."""
    if "logprob" not in LEVELS[level] and model.hf is not None:
        return None, recited(model, ids, prompt_tokens)
    cache = DynamicCache() if "completion" in LEVELS[level] and model.hf is not None else None
    read = teacher_forced(model, ids, prompt_tokens, sampling, cache)
    matched, gap = up_to_mismatch(read.greedy == ids[:, prompt_tokens:], read.gap)
    index = (matched < ids.shape[1] - prompt_tokens).nonzero()[:, 0]
    at, said = prompt_tokens + matched[index], read.greedy[index, matched[index].clamp_max(read.greedy.shape[1] - 1)]
    broken = Broken.of(cache or DynamicCache(), index, at, said)
    return read if "logprob" in LEVELS[level] else None, Recited(matched, gap, ((index, broken),) if len(index) else ())


def _completions(model: Model, passages: np.ndarray, prompt_tokens: int, state: Recited) -> np.ndarray:
    """int64 [batch, m]: the greedy completions, the truth up to each first mismatch and decoded from there."""
    completions = passages[:, prompt_tokens:].copy()
    if not state.broken:
        return completions
    index, at, said = (
        torch.cat(parts).numpy() for parts in zip(*((i, b.at, b.said) for i, b in state.broken), strict=True)
    )
    if model.hf is None:
        tails = continue_from(model, passages[index], at, said, len(index))
    else:
        tails = [tail.numpy() for tail in decode(model, [broken for _, broken in state.broken], passages.shape[1])]
    for row, start, tail in zip(index.tolist(), at.tolist(), tails, strict=True):
        completions[row, start - prompt_tokens :] = tail
    return completions
