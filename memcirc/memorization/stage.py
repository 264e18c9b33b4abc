"""The scoring stage: windows in, scores with their documents' names beside them out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from memcirc.memorization.config import ScoreConfig
from memcirc.memorization.controls import induction_share
from memcirc.memorization.divergence import DivergencePoint
from memcirc.memorization.extraction import Sampling, extraction_probability
from memcirc.memorization.scores import score
from memcirc.memorization.taxonomy import kind, pattern
from memcirc.models import Model

CARRIED = ("window_id", "doc_id", "subset", "offset", "duplicates", "copies", "family")


def score_windows(
    model: Model, windows: pa.Table, ids: np.ndarray, prompt_tokens: int, config: ScoreConfig, bos: bool
) -> pa.Table:
    """Scores of windows, with each window's document, subset and counts, what kind of text it is, and prompt, truth
    and completion as text.

    Columns besides those of :func:`memcirc.score`: ``extractable``, whether ``samples`` samples contain the completion
    with ``probability``; ``prefix_matches``, its ``prefix_match`` behind shorter prompts (:func:`prefix_matches`), for
    each length asked for; ``pattern`` and ``taxonomy`` of the text, without its BOS
    (:mod:`memcirc.memorization.taxonomy`); ``induction`` (:mod:`memcirc.memorization.controls`).
    """
    n_completion = ids.shape[1] - prompt_tokens
    sampling = Sampling(config.top_k, config.temperature)
    scored = score(
        model,
        ids,
        prompt_tokens,
        n_completion,
        config.batch_size,
        level=config.level,
        sampling=sampling,
        rerun_near_ties=config.rerun_near_ties,
    )
    own = ids[:, int(bos) :]
    texts = [model.decode(row) if model.tokenizer is not None else "" for row in own]
    patterns = [pattern(row.tolist(), text) for row, text in zip(own, texts, strict=True)]
    added: dict[str, Any] = {
        "pattern": pa.array(patterns, pa.string()),
        "taxonomy": [kind(n, found) for n, found in zip(windows["duplicates"].to_pylist(), patterns, strict=True)],
        "induction": [induction_share(row, prompt_tokens) for row in ids],
        "prompt": [model.decode(row[:prompt_tokens]) for row in ids],
        "truth": [model.decode(row[prompt_tokens:]) for row in ids],
    }
    if "completion_ids" in scored.column_names:
        added["completion"] = [model.decode(row) for row in scored["completion_ids"].to_pylist()]
    if "extraction_logprob" in scored.column_names:
        hit = extraction_probability(scored["extraction_logprob"].to_numpy(), config.samples)
        added["extractable"] = hit >= config.probability
    if config.lengths:
        matches = prefix_matches(model, ids, prompt_tokens, config.lengths, config.batch_size, bos)
        added["prefix_matches"] = pa.array(list(matches), pa.list_(pa.int32()))
    carried = {name: windows[name] for name in CARRIED if name in windows.column_names}
    columns = {**carried, **{name: scored[name] for name in scored.column_names}, **added}
    stated = {
        "bos": str(bos).lower(),
        "prefix_lengths": ",".join(map(str, config.lengths)),
        "extractable": f"n {config.samples}, p {config.probability:g}",
    }
    return pa.table(columns).replace_schema_metadata({**scored.schema.metadata, **stated})


def prefix_matches(
    model: Model, ids: np.ndarray, prompt_tokens: int, lengths: Sequence[int], batch_size: int, bos: bool = False
) -> np.ndarray:
    """int64 [passages, lengths]: leading tokens of the completion that are recited behind the last L prompt tokens.

    With ``bos``, passages begin with BOS, which stays in front and counts, as it does in ``prompt_tokens``: L tokens
    are BOS and the last L - 1 of the prompt.

    Raises:
        ValueError: a length beyond the prompt.
    """
    if max(lengths) > prompt_tokens:
        raise ValueError(f"prefix length {max(lengths)}: the prompt has {prompt_tokens} tokens")
    n_completion = ids.shape[1] - prompt_tokens
    found = np.empty((len(ids), len(lengths)), np.int64)
    for column, length in enumerate(lengths):
        for start in range(0, len(ids), batch_size):
            rows = slice(start, start + batch_size)
            shorter = ids[rows, prompt_tokens - length :].copy()
            if bos:
                shorter[:, 0] = ids[rows, 0]
            scored = score(model, shorter, length, n_completion, batch_size, level="exact")
            found[rows, column] = scored["prefix_match"].to_numpy()
    return found


def summary(path: Path) -> str:
    """One line about a table of scores: how much is recited exactly, in all and behind shorter prompts."""
    names = [name for name in ("exact", "prefix_matches") if name in pq.read_schema(path).names]
    table = pq.read_table(path, columns=names)
    line = f"{pc.sum(table['exact']).as_py()} of {len(table)} windows are recited exactly"
    if "prefix_matches" in names:
        stated = pq.read_schema(path).metadata
        matches = table["prefix_matches"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
        shares = (matches == int(stated[b"generation_tokens"])).mean(0)
        lengths = stated[b"prefix_lengths"].decode().split(",")
        behind = ", ".join(f"{length}: {share:.1%}" for length, share in zip(lengths, shares, strict=True))
        kept = "BOS and the last tokens" if stated[b"bos"] == b"true" else "the last tokens"
        line += f"; behind {kept} of the prompt alone: {behind}"
    return line


def marked(n: int, rows: np.ndarray) -> np.ndarray:
    """bool [n], true at the rows."""
    keep = np.zeros(n, dtype=bool)
    keep[rows] = True
    return keep


def read_rows(path: Path, keep: np.ndarray) -> pa.Table:
    """The rows of a parquet file for which ``keep``, bool [rows], holds; one row group in memory at a time."""
    with pq.ParquetFile(path) as file:
        kept, start = [], 0
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            if keep[start:stop].any():
                kept.append(file.read_row_group(group).filter(pa.array(keep[start:stop])))
            start = stop
        return pa.concat_tables(kept) if kept else file.schema_arrow.empty_table()


def points_table(rows: Sequence[int], points: Sequence[DivergencePoint | None], prior: np.ndarray) -> pa.Table:
    """Divergence points as a table, a row a memorized passage: its ``row`` among the scores, its point (null where
    there is none), and its ``prior_logprob`` (null where it was not asked for)."""
    fields = {
        "length": pa.int32(),
        "true_continuation": pa.list_(pa.int32()),
        "model_continuation": pa.list_(pa.int32()),
        "score_before": pa.float64(),
        "score_after": pa.float64(),
    }
    columns = {name: pa.array([getattr(point, name, None) for point in points], type) for name, type in fields.items()}
    return pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            **columns,
            "prior_logprob": pa.array(prior, pa.float64(), from_pandas=True),
        }
    )


def points_of(table: pa.Table) -> dict[int, DivergencePoint | None]:
    """The points of :func:`points_table`, by row of the scores."""
    return {
        row["row"]: None
        if row["length"] is None
        else DivergencePoint(
            row["length"],
            tuple(row["true_continuation"]),
            tuple(row["model_continuation"]),
            row["score_before"],
            row["score_after"],
        )
        for row in table.to_pylist()
    }
