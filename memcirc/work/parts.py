"""The finished units of a plan: one parquet part each, which appears under its name when it is whole and stands beside
the SHA-256 of its bytes; a part that these do not give any more is not finished.

A plan is everything that the units' contents depend on (settings, input hashes, how the work is cut); its hash is part
of every part's name, and ``plan.json`` says it in full. Parts of another plan are never taken for this one's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from memcirc.artifacts import atomic, content_hash, differences, plain, read_json, write_json, write_text

PLAN = "plan.json"


@dataclass(frozen=True)
class Parts:
    """The folder of one plan's parts.

    ``plan`` is JSON-like and holds ``units``, their number.
    """

    folder: Path
    plan: Mapping[str, Any]

    @property
    def units(self) -> int:
        return int(self.plan["units"])

    def open(self) -> None:
        """Write the plan down, or find it unchanged.

        Raises:
            ValueError: the folder holds finished parts of another plan (names the difference).
        """
        path = self.folder / PLAN
        if path.is_file() and any(self.folder.glob("*.parquet")):
            changed = differences(read_json(path), self.plan)
            if changed:
                raise ValueError(
                    f"{self.folder} holds finished parts of another plan: {'; '.join(changed)}; "
                    "choose another --run_dir, or --force to begin anew"
                )
            return
        write_json(path, plain(self.plan))

    def clear(self) -> None:
        """Remove all parts and the plan."""
        for path in [*self.folder.glob("*.parquet"), *self.folder.glob("*.sha256"), self.folder / PLAN]:
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def path(self, unit: int) -> Path:
        return self.folder / f"{content_hash(plain(self.plan))[:8]}-{unit:07d}.parquet"

    def write(self, unit: int, table: pa.Table) -> None:
        """Keep a unit's table, atomically; the hash comes first, so that no part is ever without."""
        path, whole = self.path(unit), pa.BufferOutputStream()
        pq.write_table(table, whole)
        content = whole.getvalue()
        write_text(_hash_beside(path), sha256(content).hexdigest() + "\n")
        with atomic(path) as partial:
            partial.write_bytes(content)

    def missing(self) -> list[int]:
        """Units without a whole part: none yet, or one that is damaged, which its successor will replace."""
        return [unit for unit in range(self.units) if _content(self.path(unit)) is None]

    def tables(self) -> Iterator[pa.Table]:
        """All parts in the order of their units, one at a time.

        Raises:
            ValueError: a part is not there or damaged.
        """
        for unit in range(self.units):
            content = _content(self.path(unit))
            if content is None:
                raise ValueError(f"{self.path(unit)} is damaged or gone; the same command makes it anew")
            yield pq.read_table(pa.BufferReader(content))

    def merge(self, path: Path) -> None:
        """All parts as one file, a row group a unit, in flat memory."""
        with atomic(path) as partial:
            writer = None
            for table in self.tables():
                writer = writer or pq.ParquetWriter(partial, table.schema)
                writer.write_table(table)
            assert writer is not None, "a plan has at least one unit"
            writer.close()


def _hash_beside(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _content(path: Path) -> bytes | None:
    """The bytes of a part; None where there is none, or where they are not those that were written."""
    try:
        content, expected = path.read_bytes(), _hash_beside(path).read_bytes()
    except FileNotFoundError:
        return None
    return content if sha256(content).hexdigest().encode() == expected.strip() else None
