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


class WindowsFile:
    """What `prepare` has written, opened but not read: rows are read in ranges, in memory of their own size.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a parquet file of windows.
    """

    def __init__(self, path: Path) -> None:
        self._file, self.origin = _opened(path)
        self._starts = np.cumsum(
            [0, *(self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups))]
        )

    def __len__(self) -> int:
        return self._file.metadata.num_rows

    def rows(self, start: int, stop: int) -> Windows:
        """Rows start..stop - 1."""
        assert 0 <= start < stop <= len(self)
        first, last = np.searchsorted(self._starts, [start, stop - 1], side="right") - 1
        table = self._file.read_row_groups(list(range(first, last + 1)))
        return _windows(table.slice(start - int(self._starts[first]), stop - start), self.origin)


def read_windows(path: str | Path) -> Windows:
    """All rows of a file of windows.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a parquet file of windows.
    """
    file, origin = _opened(Path(path))
    return _windows(file.read(), origin)


def _windows(table: pa.Table, origin: Mapping[str, Any]) -> Windows:
    tokens = table.schema.field("tokens").type.list_size
    flat = table.column("tokens").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Windows(table, flat.astype(np.int64).reshape(-1, tokens), origin)


def _opened(path: Path) -> tuple[pq.ParquetFile, Mapping[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"no file of windows {str(path)!r}: make it with `memcirc prepare`")
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: not a whole parquet file ({str(error).splitlines()[0]})") from None
    metadata = (file.schema_arrow.metadata or {}).get(METADATA_KEY)
    if metadata is None:
        raise ValueError(
            f"{path}: no windows but a table of {', '.join(file.schema_arrow.names)}; "
            "accepted is what `memcirc prepare` writes"
        )
    return file, json.loads(metadata)
