"""From Pile subsets, hub data sets and local files to windows of token ids, cut once and read from disk ever after."""

import importlib
from typing import Any

_HOMES = {
    "Document": "memcirc.corpus.sources",
    "PILE_SUBSETS": "memcirc.corpus.subsets",
    "PrepareConfig": "memcirc.corpus.config",
    "PrepareStats": "memcirc.corpus.preparing",
    "Windows": "memcirc.corpus.windows",
    "documents": "memcirc.corpus.sources",
    "licence_note": "memcirc.corpus.subsets",
    "prepare": "memcirc.corpus.preparing",
    "read_windows": "memcirc.corpus.windows",
    "subset_name": "memcirc.corpus.subsets",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
