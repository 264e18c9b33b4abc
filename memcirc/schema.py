"""The version of what our files hold. Each states it under ``schema``: a stage's marker, pairs, edge scores, circuits,
verifications, an index of published circuits.

1: files that state none. 2: they state it; nothing else has changed. Older files are read, newer ones refused.
"""

from collections.abc import Mapping
from typing import Any

SCHEMA = "schema"
VERSION = 2


class NewerFile(ValueError):
    """A file that a newer memcirc has written."""


def with_schema(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a file, its version first."""
    return {SCHEMA: VERSION, **content}


def check_schema(content: Mapping[str, Any], file: object) -> None:
    """Refuse what cannot be read.

    Raises:
        NewerFile: a newer version's file.
        ValueError: its version is no count.
    """
    version = content.get(SCHEMA, 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(f"{file}: its version ({SCHEMA}) is {version!r:.40}, which is no count")
    if version > VERSION:
        raise NewerFile(
            f"{file}: written by a newer memcirc, as version {version} of its files; this one reads up to {VERSION}: "
            "update memcirc"
        )
