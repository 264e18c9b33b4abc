"""Rows of local files: JSON lines, JSON, parquet and text, plain or packed by zstd or gzip, one after another, never a
file at once.

Text is UTF-8; a byte-order mark is no part of it. A row comes with the place it was found at, so that whoever rejects
it can say where. A text file is one document.
"""

import codecs
import gzip
import io
import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from memcirc.checkpoints import refuse_pointer

Row = Mapping[str, Any]

PACKED = ("", ".zst", ".gz")
FORMATS = (*(kind + packed for kind in (".jsonl", ".json", ".txt") for packed in PACKED), ".parquet")
ACCEPTED = ", ".join(FORMATS)
PARQUET_ROWS = 1024
CHUNK_BYTES = 1 << 20
SAID = 3


@dataclass(frozen=True)
class DataFiles:
    """The files of a corpus in the order of their names, and what lies among them and is not read: names by reason."""

    files: tuple[Path, ...]
    passed_over: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def remarks(self) -> tuple[str, ...]:
        """A line for each reason to pass something over, with how many names there are and the first of them."""
        return tuple(
            f"passed over, {reason}: {len(names)} ({', '.join(names[:SAID])}{', ...' if names[SAID:] else ''})"
            for reason, names in self.passed_over.items()
        )


def data_files(path: Path) -> list[Path]:
    """The file itself, or the data files of a folder and its subfolders in the order of their names.

    Raises:
        FileNotFoundError: no such path, a link to what is not there, or a folder without data files.
        ValueError: a file of another format, or what is no file at all.
    """
    return list(found_files(path).files)


def found_files(path: Path, every_format: bool = False) -> DataFiles:
    """The same with what was passed over: hidden names (with all that lies below), files of other formats unless
    ``every_format``, links to what is read anyway, and files of which there is nothing to read, since they are empty.
    Linked folders are read like others; raises as :func:`data_files` does.
    """
    if path.is_dir():
        passed_over: dict[str, list[str]] = defaultdict(list)
        files = sorted(_below(path, path, every_format, {path.resolve()}, passed_over))
        found = DataFiles(tuple(files), {reason: tuple(names) for reason, names in passed_over.items()})
        if not files:
            seen = f" ({'; '.join(found.remarks)})" if found.remarks else ""
            raise FileNotFoundError(f"no data in folder {str(path)!r}{seen}: accepted are {ACCEPTED} files")
        return found
    _check_target(path)
    if not path.exists():
        raise FileNotFoundError(f"no file or folder {str(path)!r}: accepted are {ACCEPTED} files and folders of them")
    if not path.name.endswith(FORMATS):
        raise ValueError(f"format of {str(path)!r} is unknown: accepted are {ACCEPTED}")
    _check_regular(path)
    return DataFiles((path,))


def _below(
    top: Path, folder: Path, every_format: bool, seen: set[Path], passed_over: dict[str, list[str]]
) -> Iterator[Path]:
    """The data files below a folder, each once; ``seen`` holds the true places of what was met."""
    for path in sorted(folder.iterdir()):
        name = str(path.relative_to(top))
        if path.name.startswith("."):
            passed_over["hidden"].append(name)
            continue
        _check_target(path)
        is_folder = path.is_dir()
        if not is_folder and not every_format and not path.name.endswith(FORMATS):
            passed_over["of another format"].append(name)
            continue
        true = path.resolve()
        if true in seen:
            passed_over["met before under another name"].append(name)
            continue
        seen.add(true)
        if is_folder:
            yield from _below(top, path, every_format, seen, passed_over)
        else:
            _check_regular(path)
            if not path.stat().st_size:
                passed_over["empty"].append(name)
            yield path


def _check_target(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise FileNotFoundError(f"{path} is a link to {path.readlink()}, which is not there: mend or remove it")


def _check_regular(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"{path} is neither a file nor a folder")


def rows_of_file(path: Path) -> Iterator[tuple[str, Row]]:
    """(place, row) for every row of a file.

    Raises:
        ValueError: a row that is no JSON object, text that is not UTF-8, a file that breaks off, or a Git LFS pointer
            in place of one; names file and line.
    """
    refuse_pointer(path)
    if path.name.endswith(".parquet"):
        yield from parquet_rows(path)
        return
    chunks = without_mark(unpacked(path))
    kind = Path(path.name.removesuffix(".zst").removesuffix(".gz")).suffix
    if kind == ".txt":
        text = decoded(str(path), b"".join(chunks), 1)
        yield str(path), {"text": io.StringIO(text, newline=None).read()}
        return
    head = next(chunks, b"")
    chunks = chain([head], chunks)
    if kind == ".json" and head.lstrip()[:1] == b"[":
        yield from array_rows(path, b"".join(chunks))
    else:
        yield from json_rows(path, lines_of(chunks))


def decoded(place: str, raw: bytes, line: int | None = None) -> str:
    """Bytes as UTF-8; an error names the place, and the line that counts from ``line`` where one is given."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        lines = raw.count(b"\n", 0, error.start)
        where = place if line is None else f"{place}, line {line + lines}"
        raise ValueError(f"{where}: not UTF-8 (byte 0x{raw[error.start]:02x}, {error.reason})") from None


def parsed(place: str, text: str) -> Any:
    """A JSON text's value; an error names the place."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: not JSON ({error})") from None


def json_rows(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[str, Row]]:
    """A row per line; empty lines are skipped."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"{path}, line {number}"
            yield place, checked_object(place, parsed(place, decoded(place, line)))


def array_rows(path: Path, content: bytes) -> Iterator[tuple[str, Row]]:
    """The entries of a JSON array."""
    for number, row in enumerate(parsed(str(path), decoded(str(path), content, 1)), start=1):
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
                for index in range(len(batch)):
                    number += 1
                    (row,) = batch.slice(index, 1).to_pylist()
                    yield f"{path}, row {number}", row
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, row {number}: not UTF-8 ({error.reason})") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: not a whole parquet file ({str(error).splitlines()[0]})") from None


def unpacked(path: Path) -> Iterator[bytes]:
    """Chunks of a file's content, whatever it is packed by; a stream that breaks off is an error, not an end."""
    if path.suffix == ".zst":
        yield from decompressed(path)
    elif path.suffix == ".gz":
        try:
            with gzip.open(path, mode="rb") as packed:
                yield from iter(lambda: packed.read(CHUNK_BYTES), b"")
        except EOFError:
            raise ValueError(f"{path}: the gzip stream breaks off, the file is not whole") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: not a gzip file ({error})") from None
    else:
        with path.open("rb") as file:
            yield from iter(lambda: file.read(CHUNK_BYTES), b"")


def without_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same chunks, of which the first one is at least as long as a byte-order mark, without such a mark."""
    chunks, head = iter(chunks), b""
    while len(head) < len(codecs.BOM_UTF8) and (chunk := next(chunks, b"")):
        head += chunk
    yield head.removeprefix(codecs.BOM_UTF8)
    yield from chunks


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
                    if content := frame.decompress(chunk):
                        yield content
                    chunk = frame.unused_data if frame.eof else b""
        except zstandard.ZstdError as error:
            raise ValueError(f"{path}: not a zstd file ({error})") from None
        if started and not frame.eof:
            raise ValueError(f"{path}: the zstd stream breaks off, the file is not whole")


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of a stream of chunks."""
    rest: list[bytes] = []
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        rest.append(first)
        if others:
            yield b"".join(rest)
            yield from others[:-1]
            rest = others[-1:]
    if any(rest):
        yield b"".join(rest)
