"""The scoring stage: windows in, scores with their documents' names beside them out."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from memcirc.memorization.divergence import DivergencePoint
from memcirc.memorization.scores import Progress, score
from memcirc.models import Model

CARRIED = ("window_id", "doc_id", "subset", "offset", "duplicates", "copies", "family")


def score_windows(
    model: Model, windows: pa.Table, ids: Any, prompt_tokens: int, batch_size: int, bos: bool, progress: Progress
) -> pa.Table:
    """Scores of windows, with each window's document, subset and counts, and prompt, truth and completion as text."""
    scored = score(model, ids, prompt_tokens, ids.shape[1] - prompt_tokens, batch_size, progress)
    tokens, completions = scored["tokens"].to_pylist(), scored["completion_ids"].to_pylist()
    texts = {
        "prompt": [model.decode(row[:prompt_tokens]) for row in tokens],
        "truth": [model.decode(row[prompt_tokens:]) for row in tokens],
        "completion": [model.decode(row) for row in completions],
    }
    carried = {name: windows[name] for name in CARRIED if name in windows.column_names}
    columns = {**carried, **{name: scored[name] for name in scored.column_names}, **texts}
    return pa.table(columns).replace_schema_metadata({**scored.schema.metadata, b"bos": str(bos).lower().encode()})


def points_table(points: Sequence[DivergencePoint | None]) -> pa.Table:
    """Divergence points as a table, a row a passage; null where there is none."""
    fields = {
        "length": pa.int32(),
        "true_continuation": pa.list_(pa.int32()),
        "model_continuation": pa.list_(pa.int32()),
        "score_before": pa.float64(),
        "score_after": pa.float64(),
    }
    return pa.table(
        {name: pa.array([getattr(point, name, None) for point in points], kind) for name, kind in fields.items()}
    )


def points_of(table: pa.Table) -> list[DivergencePoint | None]:
    """The inverse of :func:`points_table`."""
    return [
        None
        if row["length"] is None
        else DivergencePoint(
            row["length"],
            tuple(row["true_continuation"]),
            tuple(row["model_continuation"]),
            row["score_before"],
            row["score_after"],
        )
        for row in table.to_pylist()
    ]
