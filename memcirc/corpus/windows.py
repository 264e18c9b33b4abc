"""Windows of token ids: their table, how they are cut from documents, and how they are read back.

A row is a distinct window. `tokens` holds prompt and continuation; `duplicates` counts how often the window occurs in
the corpus as it was read; `copies` and `family` are the corpus's own word, where it has one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

METADATA_KEY = b"memcirc"


@dataclass(frozen=True)
class Windows:
    """The table, its tokens as int64 [windows, tokens], and what was written down when they were cut."""

    table: pa.Table
    ids: np.ndarray
    origin: Mapping[str, Any]


def schema_of(tokens: int) -> pa.Schema:
    """The columns of windows of that many tokens."""
    return pa.schema(
        [
            ("window_id", pa.int64()),
            ("doc_id", pa.string()),
            ("subset", pa.string()),
            ("offset", pa.int64()),
            ("tokens", pa.list_(pa.int32(), tokens)),
            ("copies", pa.int64()),
            ("family", pa.string()),
            ("duplicates", pa.int64()),
        ]
    )


def cut(ids: Sequence[int], tokens: int, every: bool, bos: int | None = None) -> Iterator[tuple[int, list[int]]]:
    """(offset, window) for the first window of a document or, with `every`, all that do not overlap.

    With `bos`, each window begins with that token, which counts as one of its tokens. A rest that does not fill a
    window is left out.
    """
    own = tokens if bos is None else tokens - 1
    last = len(ids) - own if every else min(0, len(ids) - own)
    for offset in range(0, last + 1, own):
        window = list(ids[offset : offset + own])
        yield offset, window if bos is None else [bos, *window]


def read_windows(path: Path) -> Windows:
    """Read what `prepare` has written.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a parquet file of windows.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file of windows {str(path)!r}: make it with `memcirc prepare`")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: not a whole parquet file ({str(error).splitlines()[0]})") from None
    metadata = (table.schema.metadata or {}).get(METADATA_KEY)
    if metadata is None:
        raise ValueError(
            f"{path}: no windows but a table of {', '.join(table.column_names)}; "
            "accepted is what `memcirc prepare` writes"
        )
    tokens = table.schema.field("tokens").type.list_size
    flat = table.column("tokens").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Windows(table, flat.astype(np.int64).reshape(-1, tokens), json.loads(metadata))
