"""Rows of local files: JSON lines (plain or zstd), JSON, parquet and text, one after another, never a file at once.

A row comes with the place it was found at, so that whoever rejects it can say where. A text file is one document.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]

FORMATS = (".jsonl", ".jsonl.zst", ".json", ".parquet", ".txt")
PARQUET_ROWS = 1024
CHUNK_BYTES = 1 << 20


def data_files(path: Path) -> list[Path]:
    """The file itself, or the data files of a folder and its subfolders in the order of their names.

    Raises:
        FileNotFoundError: no such path, or a folder without data files.
        ValueError: a file of another format.
    """
    accepted = ", ".join(FORMATS)
    if not path.exists():
        raise FileNotFoundError(f"no file or folder {str(path)!r}: accepted are {accepted} files and folders of them")
    if path.is_file():
        if not path.name.endswith(FORMATS):
            raise ValueError(f"format of {str(path)!r} is unknown: accepted are {accepted}")
        return [path]
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name.endswith(FORMATS))
    if not files:
        raise FileNotFoundError(f"no data in folder {str(path)!r}: accepted are {accepted} files")
    return files


def rows_of_file(path: Path) -> Iterator[tuple[str, Row]]:
    """(place, row) for every row of a file.

    Raises:
        ValueError: a row that is no JSON object, or a file that breaks off; names file and line.
    """
    if path.name.endswith(".parquet"):
        yield from parquet_rows(path)
    elif path.name.endswith(".txt"):
        yield str(path), {"text": path.read_text(encoding="utf-8")}
    elif path.name.endswith(".zst"):
        yield from json_rows(path, lines_of(decompressed(path)))
    elif is_array(path):
        yield from array_rows(path)
    else:
        with path.open("rb") as file:
            yield from json_rows(path, file)


def json_rows(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[str, Row]]:
    """A row per line; empty lines are skipped."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{place}: not JSON ({error})") from None
        yield place, checked_object(place, row)


def is_array(path: Path) -> bool:
    """Whether a JSON file holds one array rather than lines."""
    with path.open("rb") as file:
        return path.suffix == ".json" and file.read(CHUNK_BYTES).lstrip()[:1] == b"["


def array_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """The entries of a JSON array."""
    try:
        entries = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    for number, row in enumerate(entries, start=1):
        place = f"{path}, entry {number}"
        yield place, checked_object(place, row)


def checked_object(place: str, row: Any) -> Row:
    """The row, if it is a JSON object."""
    if not isinstance(row, dict):
        raise ValueError(f"{place}: a JSON {type(row).__name__}, accepted is an object with a text or tokens field")
    return row


def parquet_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """The rows of a parquet file, a block at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(PARQUET_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: not a whole parquet file ({str(error).splitlines()[0]})") from None


def decompressed(path: Path) -> Iterator[bytes]:
    """Chunks of a zstd file, all its frames; a stream that breaks off is an error, not an end."""
    import zstandard

    with path.open("rb") as file:
        frame = zstandard.ZstdDecompressor().decompressobj()
        started = False
        try:
            while chunk := file.read(CHUNK_BYTES):
                while chunk:
                    if frame.eof:
                        frame = zstandard.ZstdDecompressor().decompressobj()
                    started = True
                    yield frame.decompress(chunk)
                    chunk = frame.unused_data if frame.eof else b""
        except zstandard.ZstdError as error:
            raise ValueError(f"{path}: not a zstd file ({error})") from None
        if started and not frame.eof:
            raise ValueError(f"{path}: the zstd stream breaks off, the file is not whole")


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of a stream of chunks."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest
