"""What the fields of a pair hold, and the checks that they do."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from memcirc.ids import plain_ids
from memcirc.pairs.tokenizing import check_text

IDS = ("clean_ids", "corrupt_ids", "answer_ids", "wrong_answer_ids", "answer_sequence_ids")
TEXTS = ("clean", "corrupt", "answer_sequence", "doc_id", "corrupt_doc_id", "subset", "family", "taxonomy")
COUNTS = ("copies", "divergence", "position")
NUMBERS = ("score_before", "score_after", "similarity", "induction", "prior_lift", "lift")


def checked(name: str, value: Any) -> Any:
    """A field's value as the record keeps it; ValueError, naming the field, for one of another type."""
    if name in IDS:
        return _checked_ids(name, value)
    if name in TEXTS:
        return checked_text(name, value)
    if name in COUNTS or name in NUMBERS:
        return _checked_number(name, value)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"{name} is {value!r:.60}; a list of texts is needed")
    return tuple(checked_text(name, text) for text in value)


def _checked_ids(name: str, ids: Any) -> tuple[int, ...]:
    found = plain_ids(ids, name)
    if isinstance(found, int):
        raise ValueError(f"{name} is the number {found}; a list of token ids is needed")
    for i in found:
        if isinstance(i, list) or i < 0:
            raise ValueError(f"{name}: a flat list of token ids from 0 is needed, not one with {i!r:.40}")
    return tuple(found)


def checked_text(name: str, text: Any) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{name} is {text!r:.60}; text is needed")
    check_text(text)
    return text


def _checked_number(name: str, value: Any) -> int | float | None:
    if value is None:
        return None
    whole = name in COUNTS
    kind: Any = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ValueError(f"{name} is {value!r:.60}; a {'whole number' if whole else 'number'} is needed")
    if whole and value < 0:
        raise ValueError(f"{name} is {value}; at least 0 is needed")
    return int(value) if whole else float(value)
