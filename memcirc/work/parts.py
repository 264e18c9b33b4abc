"""The finished units of a plan: one parquet part each, which appears under its name when it is whole. Its footer
holds a seal, the SHA-256 of all its bytes (with zeros in the seal's place); a part with a broken seal is not finished.

A plan is everything that the units' contents depend on (settings, input hashes, how the work is cut); its hash is part
of every part's name, and ``plan.json`` says it in full. Parts of another plan are never taken for this one's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from memcirc.artifacts import atomic, content_hash, differences, plain, read_json, sweep, write_json

Make = Callable[[int], pa.Table]
"""Gives the table of a unit."""
Worker = Callable[[], Make]
"""Gives a :data:`Make` in whatever process it is called, and loads what that needs; it can be sent there."""
PLAN = "plan.json"
SEAL_KEY = b"memcirc.seal"
SEAL = b"memcirc part, sha256 "
BLANK = b"0" * 64


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
        """Remove all parts, half-written ones among them, and the plan."""
        sweep(self.folder)
        for path in [*self.folder.glob("*.parquet"), self.folder / PLAN]:
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def path(self, unit: int) -> Path:
        return self.folder / f"{content_hash(plain(self.plan))[:8]}-{unit:07d}.parquet"

    def write(self, unit: int, table: pa.Table) -> None:
        """Keep a unit's table, sealed, atomically."""
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, table.schema) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({SEAL_KEY: SEAL + BLANK})
        content = sink.getvalue().to_pybytes()
        with atomic(self.path(unit)) as partial:
            partial.write_bytes(content.replace(SEAL + BLANK, SEAL + _digest(content)))

    def missing(self) -> list[int]:
        """Units without a whole part: none yet, or one that is damaged, which its successor will replace."""
        return [unit for unit in range(self.units) if _sealed(self.path(unit)) is None]

    def absent(self) -> list[int]:
        """Units without a part; whether a part is whole is seen by whoever reads it."""
        return [unit for unit in range(self.units) if not self.path(unit).is_file()]

    def tables(self) -> Iterator[pa.Table]:
        """All parts in the order of their units, one at a time.

        Raises:
            ValueError: a part is not there or damaged.
        """
        for unit in range(self.units):
            content = _sealed(self.path(unit))
            if content is None:
                raise ValueError(f"{self.path(unit)} is damaged or gone; the same command makes it anew")
            table = pq.read_table(pa.BufferReader(content))
            own = {key: value for key, value in (table.schema.metadata or {}).items() if key != SEAL_KEY}
            yield table.replace_schema_metadata(own or None)

    def merge(self, path: Path) -> None:
        """All parts as one file, a row group a unit, in flat memory."""
        with atomic(path) as partial:
            writer = None
            for table in self.tables():
                writer = writer or pq.ParquetWriter(partial, table.schema)
                writer.write_table(table)
            assert writer is not None, "a plan has at least one unit"
            writer.close()


def _sealed(path: Path) -> bytes | None:
    """The bytes of a part; None where there is none, or where its seal is broken."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    start = content.rfind(SEAL) + len(SEAL)
    stop = start + len(BLANK)
    return content if content[start:stop] == _digest(content[:start] + BLANK + content[stop:]) else None


def _digest(content: bytes) -> bytes:
    return sha256(content).hexdigest().encode()
