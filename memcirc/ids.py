"""Token ids as callers hold them: tensors and arrays of any integer type, and lists of these or of whole numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from memcirc.config import LARGEST

Ids = Tensor | np.ndarray | Sequence[Any]


def plain_ids(ids: Any, what: str = "token ids") -> Any:
    """The same as Python's own numbers, in lists as deep as they were.

    Raises:
        ValueError: anything that is no whole number (floats, truth values, text), or nothing that has an order; a
            number that is far from any vocabulary.
    """
    if isinstance(ids, Tensor | np.ndarray | np.generic):
        return integers(ids, what).tolist()
    if isinstance(ids, int) and not isinstance(ids, bool):
        if abs(ids) > LARGEST:
            raise ValueError(f"{what} lie between -{LARGEST} and {LARGEST}, not at {ids!r:.60}")
        return ids
    if isinstance(ids, Sequence) and not isinstance(ids, str | bytes):
        return [i if type(i) is int and 0 <= i <= LARGEST else plain_ids(i, what) for i in ids]
    raise ValueError(f"{what} are whole numbers, not {ids!r:.60} ({type(ids).__name__})")


def integers(ids: Any, what: str = "token ids") -> np.ndarray:
    """int64 array of the shape of a tensor, an array or lists; ValueError for elements that are not integers."""
    if not isinstance(ids, Tensor | np.ndarray | np.generic):
        return np.array(plain_ids(ids, what), np.int64)
    if isinstance(ids, Tensor):
        dtype, whole = str(ids.dtype).removeprefix("torch."), "int" in str(ids.dtype)
    else:
        dtype, whole = str(ids.dtype), ids.dtype.kind in "iu"
    if not whole and ids.size:
        raise ValueError(f"{what} are whole numbers, not {dtype}")
    return np.asarray(ids.detach().cpu() if isinstance(ids, Tensor) else ids).astype(np.int64)


def id_rows(ids: Any, what: str = "token ids") -> list[list[int]]:
    """Rows of token ids, as long as each is; a flat list is one row.

    Raises:
        ValueError: what is no whole number; rows that are deeper than lists of numbers.
    """
    rows = plain_ids(ids, what)
    if isinstance(rows, int):
        raise ValueError(f"{what}: a list is needed, not the number {rows}")
    if rows and all(isinstance(i, int) for i in rows):
        rows = [rows]
    for row in rows:
        if isinstance(row, int) or not all(isinstance(i, int) for i in row):
            raise ValueError(f"{what}: a list of rows of numbers is needed, all equally deep")
    return rows
