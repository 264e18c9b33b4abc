"""Documents of a corpus, streamed one by one, wherever it lies and whatever it is called.

A corpus is (1) a Pile subset, which stands for the hub data set that serves it; (2) a local clone of a hub data set;
(3) a local file, or a folder of files, of any format in `files.py`; (4) any other name of a data set on the hub. A row
becomes a document by its text column or, in the Pythia sets, by its column of token ids. What else it says is `meta`:
an object (or JSON text of one) and all other columns.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memcirc.config import broken_text
from memcirc.corpus.files import FORMATS, DataFiles, Row, found_files, rows_of_file
from memcirc.corpus.hub import is_clone, rows_of_dataset
from memcirc.corpus.subsets import dataset_of, is_subset

TOKEN_COLUMNS = ("tokens", "Tokens")
NAME_COLUMNS = ("doc_id", "index", "Index", "id")
SUBSET_COLUMNS = ("pile_set_name", "subset")
COUNT_LIMIT = 2**63
TOKEN_LIMIT = 2**31


@dataclass(frozen=True)
class Document:
    """A document with either its text or its token ids; `copies` and `family` are the corpus's own word on how often
    it occurs and what it is a variant of; `meta` is whatever else the corpus says about it."""

    doc_id: str
    subset: str | None
    text: str | None = None
    tokens: tuple[int, ...] | None = None
    copies: int | None = None
    family: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


def documents(
    dataset: str,
    subset: str | None = None,
    split: str | None = None,
    text_column: str = "text",
    tokens_column: str | None = None,
) -> Iterator[Document]:
    """Stream the documents of a corpus; those of other subsets too, where the corpus tells them apart.

    Raises:
        FileNotFoundError: no such file, folder or data set.
        ValueError: a row without text or tokens, one that cannot be read, or a split that is not there; names the
            place and what is accepted.
    """
    for number, (place, row) in enumerate(rows(dataset, subset, split)):
        yield document(place, row, number, text_column, tokens_column)


def local_files(dataset: str) -> DataFiles | None:
    """The files that a local corpus consists of, None for one on the hub; raises as `documents`."""
    path = Path(dataset).expanduser()
    if is_subset(dataset) or not (path.exists() or looks_local(dataset)):
        return None
    return found_files(path, every_format=path.is_dir() and is_clone(path))


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
        for file in found_files(path).files:
            yield from rows_of_file(file)
    else:
        yield from rows_of_dataset(dataset, split, subset)


def looks_local(dataset: str) -> bool:
    """Whether a name can only be meant as a path: hub names have at most one slash, between two words."""
    return (
        dataset.startswith(("/", ".", "~"))
        or dataset.count("/") > 1
        or dataset.endswith(FORMATS)
        or Path(dataset).is_symlink()
    )


def document(place: str, row: Row, number: int, text_column: str, tokens_column: str | None = None) -> Document:
    """The document of a row; without a name of its own it is called by its number.

    Raises:
        ValueError: neither text nor tokens, or a value of the wrong kind; names the place and the column.
    """
    meta = meta_of(row)
    said = {name: value for name, value in {**row, **meta}.items() if value is not None and value == value}
    doc_id = next((str(said[name]) for name in NAME_COLUMNS if name in said), str(number))
    subset = next((said[name] for name in SUBSET_COLUMNS if name in said), None)
    if not isinstance(subset, str | None):
        raise ValueError(f"{place}: subset {subset!r} is no text")
    text, tokens = content(place, row, text_column, tokens_column)
    family = said.get("family")
    return Document(
        whole(place, "the document's name", doc_id),
        None if subset is None else whole(place, "subset", subset),
        None if text is None else whole(place, f"column {text_column!r}", text),
        tokens,
        whole_number(place, "copies", said.get("copies"), COUNT_LIMIT),
        None if family is None else whole(place, "family", str(family)),
        meta,
    )


def content(
    place: str, row: Row, text_column: str, tokens_column: str | None
) -> tuple[str | None, tuple[int, ...] | None]:
    """(text, None) or (None, token ids) of a row: the column of token ids that was asked for, else the text column,
    which may hold either, else one of `TOKEN_COLUMNS`."""
    names = (text_column, *TOKEN_COLUMNS) if tokens_column is None else (tokens_column,)
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and tokens_column is None and name == text_column:
            return value, None
        if isinstance(value, list):
            return None, token_ids(place, name, value)
        if value is not None and name != text_column:
            raise ValueError(f"{place}: column {name!r} holds {shown(value)}, accepted is a list of token ids")
    held = f" (it holds {shown(row[names[0]])})" if names[0] in row else ""
    raise ValueError(
        f"{place}: no {'text' if tokens_column is None else 'token ids'} in column {names[0]!r}{held}, columns found "
        f"are {', '.join(row)}; accepted is a column of text (choose it with --text_column) or one of token ids named "
        f"{TOKEN_COLUMNS[0]!r} (or chosen with --tokens_column)"
    )


def token_ids(place: str, name: str, values: list[Any]) -> tuple[int, ...]:
    """The values, if all are token ids."""
    for value in values:
        if type(value) is not int or not 0 <= value < TOKEN_LIMIT:
            raise ValueError(f"{place}: column {name!r} holds {value!r}, which is no token id")
    return tuple(values)


def whole_number(place: str, name: str, value: Any, limit: int) -> int | None:
    """The value, which may also be a float without a fraction; None where there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 or not 0 <= value < limit:
        raise ValueError(f"{place}: {name} {value!r} is no whole number from 0 on")
    return int(value)


def whole(place: str, name: str, text: str) -> str:
    """The text, if every character of it is whole."""
    if problem := broken_text(text):
        raise ValueError(f"{place}: {name} {problem}")
    return text


def shown(value: Any) -> str:
    """What a value of the wrong kind is, in a word or two."""
    return "null" if value is None else f"a value of type {type(value).__name__}"


def meta_of(row: Row) -> dict[str, Any]:
    """What a row says besides its text: `meta`, which may be an object or JSON text, and all other columns."""
    meta = row.get("meta")
    if isinstance(meta, str):
        try:
            meta = json.loads(meta)
        except (ValueError, RecursionError):
            meta = {"meta": meta}
    others = {name: value for name, value in row.items() if name not in ("meta", "text", *TOKEN_COLUMNS)}
    return others | (meta if isinstance(meta, dict) else {})
