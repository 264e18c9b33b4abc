"""Documents of a corpus, streamed one by one, wherever it lies and whatever it is called.

A corpus is (1) a Pile subset, which stands for the hub data set that serves it; (2) a local clone of a hub data set;
(3) a local file, or a folder of files, of any format in `files.py`; (4) any other name of a data set on the hub. A row
becomes a document by its text column or, in the Pythia sets, by its column of token ids.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memcirc.corpus.files import Row, data_files, rows_of_file
from memcirc.corpus.hub import is_clone, rows_of_dataset
from memcirc.corpus.subsets import dataset_of, is_subset

TOKEN_COLUMNS = ("tokens", "Tokens")
NAME_COLUMNS = ("doc_id", "index", "Index", "id")
SUBSET_COLUMNS = ("pile_set_name", "subset")


@dataclass(frozen=True)
class Document:
    """A document with either its text or its token ids; `meta` is whatever else the corpus says about it."""

    doc_id: str
    subset: str | None
    text: str | None = None
    tokens: tuple[int, ...] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


def documents(
    dataset: str, subset: str | None = None, split: str | None = None, text_column: str = "text"
) -> Iterator[Document]:
    """Stream the documents of a corpus; those of other subsets too, where the corpus tells them apart.

    Raises:
        FileNotFoundError: no such file, folder or data set.
        ValueError: a row without text or tokens, one that cannot be read, or a split that is not there; names the
            place and what is accepted.
    """
    for number, (place, row) in enumerate(rows(dataset, subset, split)):
        yield document(place, row, number, text_column)


def rows(dataset: str, subset: str | None, split: str | None) -> Iterator[tuple[str, Row]]:
    """(place, row) of every row of a corpus."""
    path = Path(dataset).expanduser()
    if is_subset(dataset):
        yield from rows_of_dataset(dataset_of(dataset), split, dataset)
    elif path.is_dir() and is_clone(path):
        yield from rows_of_dataset(str(path), split, subset)
    elif path.exists() or looks_local(dataset):
        if split is not None:
            raise ValueError(
                f"split {split!r} of local files {dataset!r}: accepted for hub data sets and clones of them"
            )
        for file in data_files(path):
            yield from rows_of_file(file)
    else:
        yield from rows_of_dataset(dataset, split, subset)


def looks_local(dataset: str) -> bool:
    """Whether a name can only be meant as a path: hub names have at most one slash, between two words."""
    return dataset.startswith(("/", ".", "~")) or dataset.count("/") > 1 or Path(dataset).suffix in (".jsonl", ".zst")


def document(place: str, row: Row, number: int, text_column: str) -> Document:
    """The document of a row; without a name of its own it is called by its number."""
    meta = meta_of(row)
    columns = {**row, **meta}
    doc_id = next((str(columns[name]) for name in NAME_COLUMNS if columns.get(name) is not None), str(number))
    subset = next((columns[name] for name in SUBSET_COLUMNS if columns.get(name) is not None), None)
    text, tokens = row.get(text_column), next((row[name] for name in TOKEN_COLUMNS if row.get(name) is not None), None)
    if isinstance(text, str):
        return Document(doc_id, subset, text=text, meta=meta)
    if tokens is not None:
        return Document(doc_id, subset, tokens=tuple(int(token) for token in tokens), meta=meta)
    raise ValueError(
        f"{place}: no text in column {text_column!r}, columns found are {', '.join(row)}; "
        f"accepted is a column of text (choose it with --text_column) or one of token ids named {TOKEN_COLUMNS[0]!r}"
    )


def meta_of(row: Row) -> dict[str, Any]:
    """What a row says besides its text: `meta`, which may be an object or JSON text, and all other columns."""
    meta = row.get("meta")
    if isinstance(meta, str):
        try:
            meta = json.loads(meta)
        except ValueError:
            meta = {"meta": meta}
    others = {name: value for name, value in row.items() if name not in ("meta", "text", *TOKEN_COLUMNS)}
    return others | (meta if isinstance(meta, dict) else {})
