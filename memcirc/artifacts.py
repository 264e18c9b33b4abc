"""The run directory: bytes and tables in and out, atomically, with done markers and a manifest.

A file appears under its name only when it is whole (written beside it, then renamed). A stage's folder is finished
when it holds ``done.json``, written last, with hashes of the stage's configuration, inputs and outputs. This module
knows no types of ours.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN and infinities become null."""
    write_text(path, json.dumps(finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file in UTF-8, with a byte-order mark or without; ValueError names a file that is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
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
    return [
        f"{key} was {was.get(key)!r}, now {now.get(key)!r}"
        for key in sorted({*was, *now})
        if finite(was.get(key)) != finite(plain(now.get(key)))
    ]


def plain(value: Any) -> Any:
    """What JSON would give back: tuples as lists, paths as text."""
    return json.loads(json.dumps(value, default=str))


@dataclass(frozen=True)
class StageFolder:
    """One stage's folder: is it finished, and for which configuration and inputs?"""

    path: Path

    @property
    def marker(self) -> Path:
        return self.path / DONE

    def is_done(self, config: Mapping[str, Any], inputs: Sequence[Path]) -> bool:
        """Whether the stage has finished with this configuration and these input files.

        Raises:
            ValueError: it has finished with another configuration or other inputs (names the difference).
        """
        if not self.marker.is_file():
            return False
        done = read_json(self.marker)
        changed = differences(done["config"], config)
        hashes = _hashes(inputs)
        changed += [
            f"{key} has changed"
            for key in sorted({*done["inputs"], *hashes})
            if done["inputs"].get(key) != hashes.get(key)
        ]
        if changed:
            raise ValueError(
                f"{self.path} was made with another configuration: {'; '.join(changed)}; "
                "choose another --run_dir, or --force to make it anew"
            )
        return all(
            (self.path / name).is_file() and file_hash(self.path / name) == digest
            for name, digest in done["outputs"].items()
        )

    def start(self) -> None:
        """Forget an earlier completion; outputs are replaced one by one when they are written."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.marker.unlink(missing_ok=True)

    def finish(
        self, config: Mapping[str, Any], inputs: Sequence[Path], outputs: Sequence[Path], seconds: float
    ) -> None:
        """Write the marker, last and atomically."""
        write_json(
            self.marker,
            {
                "config": plain(config),
                "inputs": _hashes(inputs),
                "outputs": {str(path.relative_to(self.path)): file_hash(path) for path in outputs},
                "seconds": round(seconds, 3),
            },
        )


def _hashes(inputs: Sequence[Path]) -> dict[str, str]:
    """The inputs' hashes by place and name: two inputs may be called alike, and a run directory may be moved."""
    return {f"{place}: {path.name}": file_hash(path) for place, path in enumerate(inputs)}
