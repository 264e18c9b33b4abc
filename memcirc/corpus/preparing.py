"""From a corpus to a file of distinct windows, in two passes and flat memory.

1. Documents are streamed, filtered by subset, tokenized once (no BOS unless asked; as far as the windows need it) and
   cut; too short ones are counted.
2. A window that was seen before (by a 128-bit hash of its tokens) only raises its count; a new one is appended to a
   temporary file. Memory holds a hash and a count per distinct window, and one row group.
3. A second pass over that file adds the column of counts. The result appears under its name when it is whole.
"""

import json
import random
import sys
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b, sha256
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from memcirc.artifacts import atomic
from memcirc.corpus.config import PrepareConfig
from memcirc.corpus.sources import Document, documents, local_files
from memcirc.corpus.subsets import licence_note
from memcirc.corpus.tokenizing import first_ids, ids_of
from memcirc.corpus.windows import METADATA_KEY, cut, schema_of

ROW_GROUP = 4096
TOKENIZED_AT_ONCE = 64

T = TypeVar("T")


@dataclass(frozen=True)
class PrepareStats:
    """What became of the documents. `fingerprint` is a SHA-256 over config, tokens and counts; `passed_over` says what
    lies among the files of a local corpus and was not read, a line for each reason."""

    documents: int
    other_subset: int
    too_short: int
    windows: int
    distinct: int
    fingerprint: str
    licence_note: str | None
    passed_over: tuple[str, ...] = ()


def prepare(
    config: PrepareConfig, tokenizer: PreTrainedTokenizerBase, out_path: Path, progress: bool | None = None
) -> PrepareStats:
    """Cut a corpus into windows and write the distinct ones to `out_path` (parquet, columns of `windows.schema_of`).

    Raises:
        FileNotFoundError: no such corpus.
        ValueError: it cannot be read, or gives no window; names what was found and what is accepted.
    """
    if config.bos and tokenizer.bos_token_id is None:
        raise ValueError("bos is asked for, but the tokenizer has no BOS token")
    files = local_files(config.dataset)
    tally: Counter[str] = Counter()
    counts = array("q")
    bar = tqdm(
        islice(chosen(config, tally), config.max_documents),
        desc="cutting windows",
        unit="doc",
        disable=not (sys.stderr.isatty() if progress is None else progress),
    )
    with atomic(out_path) as whole, tempfile.TemporaryDirectory(dir=out_path.parent, prefix=".windows-") as folder:
        draft = Path(folder) / "draft.parquet"
        digest = sha256(json.dumps(asdict(config), sort_keys=True).encode())
        most = config.tokens + 1 if config.windows == "first" else None  # one more: BOS of the document's own
        rows = distinct_rows(config, tokenized(iter(bar), tokenizer, most), tokenizer.bos_token_id, tally, counts)
        write_draft(draft, config, islice(rows, config.max_windows), digest)
        if not counts:
            raise ValueError(nothing_left(config, tally))
        digest.update(counts.tobytes())
        stats = PrepareStats(
            documents=tally["documents"],
            other_subset=tally["other_subset"],
            too_short=tally["too_short"],
            windows=tally["windows"],
            distinct=len(counts),
            fingerprint=digest.hexdigest(),
            licence_note=licence_note(config.only_subset) if config.only_subset else None,
            passed_over=() if files is None else files.remarks,
        )
        write_counted(whole, draft, counts, {"config": asdict(config), "stats": asdict(stats)})
    return stats


def chosen(config: PrepareConfig, tally: "Counter[str]") -> Iterator[Document]:
    """Documents of the subset asked for and of the sample; the others are counted."""
    rng = random.Random(config.seed)
    found = documents(config.dataset, config.subset, config.split, config.text_column, config.tokens_column)
    for document in found:
        if config.only_subset and document.subset and document.subset != config.only_subset:
            tally["other_subset"] += 1
        elif config.sample == 1 or rng.random() < config.sample:
            yield document


def tokenized(
    source: Iterable[Document], tokenizer: PreTrainedTokenizerBase, most: int | None = None
) -> Iterator[tuple[Document, Sequence[int]]]:
    """Documents with their ids, the first `most` of them where that is given; those that come as ids keep them."""
    for block in blocks(source, TOKENIZED_AT_ONCE):
        texts = [document.text for document in block if document.text is not None]
        encoded = iter(ids_of(tokenizer, texts) if most is None else first_ids(tokenizer, texts, most))
        for document in block:
            yield document, document.tokens if document.tokens is not None else next(encoded)


def distinct_rows(
    config: PrepareConfig,
    source: Iterable[tuple[Document, Sequence[int]]],
    bos: int | None,
    tally: "Counter[str]",
    counts: "array[int]",
) -> Iterator[dict[str, Any]]:
    """A row for each window at its first occurrence; `counts` grows with the rows and counts all occurrences. A
    document that begins with BOS by itself is cut behind it where BOS is asked for."""
    row_of: dict[bytes, int] = {}
    for document, ids in source:
        tally["documents"] += 1
        offset, own = None, int(config.bos and len(ids) > 0 and ids[0] == bos)
        for offset, window in cut(ids[own:], config.tokens, config.windows == "all", bos if config.bos else None):
            tally["windows"] += 1
            key = blake2b(np.asarray(window, np.int32).tobytes(), digest_size=16).digest()
            row = row_of.setdefault(key, len(row_of))
            if row < len(counts):
                counts[row] += 1
                continue
            counts.append(1)
            yield {
                "window_id": row,
                "doc_id": document.doc_id,
                "subset": document.subset or config.only_subset,
                "offset": own + offset,
                "tokens": window,
                "copies": document.copies,
                "family": document.family,
            }
        tally["too_short"] += offset is None


def write_draft(path: Path, config: PrepareConfig, rows: Iterable[dict[str, Any]], digest: Any) -> None:
    """First pass: rows without counts, their tokens added to the digest."""
    schema = schema_of(config.tokens)
    schema = schema.remove(schema.get_field_index("duplicates"))
    with pq.ParquetWriter(path, schema) as writer:
        for block in blocks(rows, ROW_GROUP):
            digest.update(np.asarray([row["tokens"] for row in block], np.int32).tobytes())
            writer.write_table(pa.Table.from_pylist(block, schema), row_group_size=ROW_GROUP)


def write_counted(path: Path, draft: Path, counts: "array[int]", origin: dict[str, Any]) -> None:
    """Second pass: the same row groups with the column `duplicates`, and what made them in the file's metadata."""
    with pq.ParquetFile(draft) as source:
        schema = source.schema_arrow.append(pa.field("duplicates", pa.int64()))
        schema = schema.with_metadata({METADATA_KEY: json.dumps(origin).encode()})
        with pq.ParquetWriter(path, schema) as writer:
            for group in range(source.num_row_groups):
                duplicates = pa.array(counts[group * ROW_GROUP : (group + 1) * ROW_GROUP], pa.int64())
                columns = [*source.read_row_group(group).columns, duplicates]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=ROW_GROUP)


def nothing_left(config: PrepareConfig, tally: "Counter[str]") -> str:
    """Why no window came out, in one line."""
    others = f", {tally['other_subset']} of other subsets than {config.only_subset!r}" if config.only_subset else ""
    return (
        f"{config.dataset!r} gives no window of {config.tokens} tokens: {tally['documents']} documents read, "
        f"{tally['too_short']} of them too short{others}; accepted are documents of at least {config.tokens} tokens"
    )


def blocks(source: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` entries, the last one shorter."""
    entries = iter(source)
    while block := list(islice(entries, size)):
        yield block
