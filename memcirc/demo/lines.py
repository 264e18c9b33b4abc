"""The corpus file: JSON lines in the Pile's shape, one for every copy of a document.

A line is `{"text", "meta": {"pile_set_name", "doc_id", "copies", "family", "opening_tokens"}}`, so the ground truth
can be read back from the file alone.
"""

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memcirc.demo.planting import Planted


def shuffled_copies(documents: Iterable[Planted], seed: int) -> list[Planted]:
    """Every document as often as it has copies, in an order fixed by the seed."""
    copies = [document for document in documents for _ in range(document.copies)]
    random.Random(f"{seed}/lines").shuffle(copies)
    return copies


def write_lines(path: Path, documents: Iterable[Planted]) -> None:
    """Write one line per document given."""
    with path.open("w", encoding="utf-8") as file:
        for document in documents:
            meta = {
                "pile_set_name": document.subset,
                "doc_id": document.doc_id,
                "copies": document.copies,
                "family": document.family,
                "opening_tokens": document.opening_tokens,
            }
            file.write(json.dumps({"text": document.text, "meta": meta}, ensure_ascii=False) + "\n")


def read_lines(path: Path) -> list[Planted]:
    """The documents of a corpus file with their ground truth, one per line."""
    with path.open(encoding="utf-8") as file:
        return [document_of(json.loads(line)) for line in file]


def read_planted(path: Path) -> dict[str, Planted]:
    """The distinct documents of a corpus file with their ground truth, by `doc_id`."""
    return {document.doc_id: document for document in read_lines(path)}


def document_of(record: dict[str, Any]) -> Planted:
    """The document that a line describes."""
    meta = record["meta"]
    return Planted(
        meta["doc_id"],
        meta["pile_set_name"],
        record["text"],
        meta["copies"],
        meta["family"],
        meta["opening_tokens"],
    )
