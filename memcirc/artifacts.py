"""The run directory: bytes and tables in and out, atomically, with done markers and a manifest.

A file appears under its name only when it is whole (written beside it, then renamed). A stage's folder is finished
when it holds ``done.json``, written last, with hashes of the stage's configuration, inputs and outputs. This module
knows no types of ours.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memcirc.schema import NewerFile, check_schema, with_schema

DONE = "done.json"
HASHED_WHOLE = 2**30


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it replaces ``path``, on any exception it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what writers that were killed have left half-written in a folder; nobody may be writing there."""
    for partial in folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file atomically."""
    with atomic(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN and infinities become null."""
    write_text(path, json.dumps(finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file, UTF-8 with or without a byte-order mark; ValueError names a file that is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from None


def finite(value: Any) -> Any:
    """The same content with every float that is not finite replaced by None."""
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, float) and not (abs(value) < float("inf")):
        return None
    return value


def file_hash(path: Path) -> str:
    """First 16 hex digits of the file's SHA-256; of a file over 1 GiB, of its size and a megabyte in every 64."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= HASHED_WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
        digest = hashlib.sha256(str(size).encode())
        for start in [*range(0, size, 2**26), size - 2**20]:
            file.seek(start)
            digest.update(file.read(2**20))
        return digest.hexdigest()[:16]


def content_hash(content: Any) -> str:
    """First 16 hex digits of the SHA-256 of a JSON-like value with sorted keys."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In words, the keys whose JSON-like values differ."""
    return [f"{key} was {was.get(key)!r}, now {now.get(key)!r}" for key in different_keys(was, now)]


def different_keys(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The keys whose JSON-like values differ, in order."""
    return [key for key in sorted({*was, *now}) if finite(was.get(key)) != finite(plain(now.get(key)))]


def plain(value: Any) -> Any:
    """What JSON would give back: tuples as lists, paths as text."""
    return json.loads(json.dumps(value, default=str))


class Changed(ValueError):
    """A finished stage was made with another configuration or from other inputs; ``keys`` are those that differ."""

    def __init__(self, message: str, keys: Sequence[str]) -> None:
        super().__init__(message)
        self.keys = tuple(keys)


@dataclass(frozen=True)
class Marker:
    """What a finished stage's ``done.json`` says: its configuration, hashes of its inputs and outputs by name, how long
    it took, and when it finished (in seconds since 1970)."""

    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    seconds: float
    finished: float = 0.0

    @classmethod
    def read(cls, path: Path) -> "Marker":
        """The marker in a file.

        Raises:
            ValueError: the file is none, or a newer version's; says what is wrong with it.
        """
        content = read_json(path)
        if isinstance(content, dict):
            check_schema(content, path)
        kinds: dict[str, Any] = {"config": dict, "inputs": dict, "outputs": dict, "seconds": (int, float)}
        if not isinstance(content, dict) or not all(isinstance(content.get(k), kind) for k, kind in kinds.items()):
            raise ValueError(f"{path}: not a stage's marker; one holds {', '.join(kinds)}")
        hashes = [*content["inputs"].values(), *content["outputs"].values()]
        if not all(isinstance(digest, str) for digest in hashes) or not _is_number(content.get("finished", 0)):
            raise ValueError(f"{path}: not a stage's marker; its hashes are text, and finished is a number")
        return cls(**{name: content[name] for name in kinds}, finished=float(content.get("finished", 0)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _silently(line: str) -> None:
    """Take a line and do nothing with it."""


@dataclass(frozen=True)
class StageFolder:
    """One stage's folder: is it finished, and for which configuration and inputs?

    Inputs within ``root``, the run's directory, are named by their place there; ``read`` gives the configuration of a
    marker in today's words.
    """

    path: Path
    root: Path | None = None
    read: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict

    @property
    def marker(self) -> Path:
        return self.path / DONE

    def is_done(
        self, config: Mapping[str, Any], inputs: Sequence[Path], tell: Callable[[str], None] = _silently
    ) -> bool:
        """Whether the stage has finished with this configuration and these input files, its outputs as they were left.

        Args:
            tell: is given a line where something was finished once and is not to be used: an unreadable marker, an
                output that is gone or has changed.

        Raises:
            Changed: it has finished with another configuration or other inputs (names the difference).
            NewerFile: a newer memcirc has finished it.
        """
        if not self.marker.is_file():
            return False
        try:
            done = Marker.read(self.marker)
        except NewerFile:
            raise
        except ValueError as reason:
            tell(str(reason))
            return False
        hashes = self._hashes(inputs)
        keys = sorted(key for key in {*done.inputs, *hashes} if done.inputs.get(key) != hashes.get(key))
        was = self.read(done.config)
        changed = [*differences(was, config), *(f"{key} has changed" for key in keys)]
        if changed:
            raise Changed(
                f"{self.path} was made with another configuration: {'; '.join(changed)}; "
                "choose another --run_dir, or --force to make it anew",
                [*different_keys(was, config), *keys],
            )
        damaged = self.damaged(done)
        for line in damaged:
            tell(line)
        return not damaged

    def damaged(self, done: Marker) -> list[str]:
        """A line for each output that is gone or is not what the marker says."""
        lines = []
        for name, digest in done.outputs.items():
            path = self.path / name
            if not path.is_file():
                lines.append(f"{path} is gone")
            elif file_hash(path) != digest:
                lines.append(f"{path} is damaged, or was changed by hand")
        return lines

    def start(self) -> None:
        """Forget an earlier completion; outputs are replaced one by one when they are written."""
        self.path.mkdir(parents=True, exist_ok=True)
        sweep(self.path)
        self.marker.unlink(missing_ok=True)

    def leave(self) -> None:
        """Remove the folder again where nothing has been written to it."""
        with suppress(OSError):
            self.path.rmdir()

    def finish(
        self, config: Mapping[str, Any], inputs: Sequence[Path], outputs: Sequence[Path], seconds: float
    ) -> None:
        """Write the marker, last and atomically."""
        write_json(
            self.marker,
            with_schema(
                {
                    "config": plain(config),
                    "inputs": self._hashes(inputs),
                    "outputs": {str(path.relative_to(self.path)): file_hash(path) for path in outputs},
                    "seconds": round(seconds, 3),
                    "finished": round(time.time(), 3),
                }
            ),
        )

    def _hashes(self, inputs: Sequence[Path]) -> dict[str, str]:
        """The inputs' hashes by name: two inputs may be called alike, and a run directory may be moved."""
        return {self._name(place, path): file_hash(path) for place, path in enumerate(inputs)}

    def _name(self, place: int, path: Path) -> str:
        within = self.root is not None and path.is_relative_to(self.root)
        return str(path.relative_to(self.root)) if self.root and within else f"{place}: {path.name}"


def slug(title: str) -> str:
    """A title as part of a file's name: ``Wikipedia (en)`` -> ``wikipedia_en``."""
    return "_".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
