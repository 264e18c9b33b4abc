"""The folder that ``memcirc publish`` prepares, as whoever loads from it reads it: on this machine, or on the hub.

``memcirc.json`` names the circuits' files. A folder comes from others, so a file is opened only where it lies within:
no ``..``, no absolute path, no link (but those by which the hub's own cache keeps a repository).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from memcirc.checkpoints import read_object
from memcirc.circuit_file import CircuitFile, read_circuit_json
from memcirc.hub import part_of_snapshot
from memcirc.schema import check_schema

INDEX = "memcirc.json"


@dataclass(frozen=True)
class Entry:
    """A circuit of a folder: its task, its mode, its file."""

    task: str
    mode: str
    file: str


@dataclass(frozen=True)
class Folder:
    """A folder and its circuits; ``limit`` is how far links may lead, None where there may be none."""

    path: Path
    limit: Path | None
    circuits: tuple[Entry, ...]


def published_circuit(name: str | Path, task: str | None, mode: str | None, revision: str | None) -> CircuitFile:
    """A circuit of a folder of this machine, or of a repository of the hub.

    Args:
        task, mode: default: the folder's first.
        revision: of a repository.

    Raises:
        FileNotFoundError: no such folder, and no such repository, or it is not one that ``memcirc publish`` made.
        ValueError: no such task or mode in it, a file outside of it, or one that holds no circuit.
    """
    folder = _opened(name, revision)
    found = [entry for entry in folder.circuits if task in (None, entry.task) and mode in (None, entry.mode)]
    if not found:
        known = ", ".join(f"{entry.task} ({entry.mode})" for entry in folder.circuits)
        given = {"task": task, "mode": mode}
        asked = ", ".join(f"{what} {value!r}" for what, value in given.items() if value is not None)
        raise ValueError(f"{name}: no circuit of {asked or 'any task'}; accepted: {known or 'none'}")
    return read_circuit_json(within(folder.path, found[0].file, folder.limit))


def within(folder: Path, file: str, limit: Path | None = None) -> Path:
    """The path of a file that a folder names.

    Args:
        limit: where its links may lead; default: there may be none.

    Raises:
        ValueError: it leads out of the folder.
    """
    told = PurePosixPath(file)
    outside = not told.parts or told.is_absolute() or ".." in told.parts or "\\" in file or ":" in told.parts[0]
    path = folder.joinpath(*told.parts)
    if not outside and limit is None:
        outside = any(part.is_symlink() for part in (path, *path.parents) if part != folder and folder in part.parents)
    if outside or not path.resolve().is_relative_to((limit or folder).resolve()):
        raise ValueError(f"{folder}: the file {file!r} that it names lies outside of it, or is a link; not opened")
    return path


def _opened(name: str | Path, revision: str | None) -> Folder:
    path, limit = Path(name), None
    if not path.is_dir():
        path = part_of_snapshot(str(name), revision, INDEX, (INDEX, "*/circuit*.json"))
        limit = path.parent.parent  # whose blobs a snapshot's files are links to
    index = within(path, INDEX, limit)
    if not index.is_file():
        raise FileNotFoundError(f"{name}: no {INDEX} in it; `memcirc publish` makes such a folder")
    return Folder(path, limit, _entries(index, read_object(index)))


def _entries(index: Path, content: Mapping[str, Any]) -> tuple[Entry, ...]:
    check_schema(content, index)
    rows = content.get("circuits")
    names = ("task", "mode", "file")
    whole = isinstance(rows, list) and all(
        isinstance(row, dict) and all(isinstance(row.get(name), str) for name in names) for row in rows
    )
    if not whole:
        raise ValueError(f"{index}: not an index of published circuits (task, mode and file of each)")
    return tuple(Entry(**{name: row[name] for name in names}) for row in rows or ())
