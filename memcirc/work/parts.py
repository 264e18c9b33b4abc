"""The finished units of a plan: one parquet part each, which appears under its name when it is whole.

A plan is everything that the units' contents depend on (settings, input hashes, how the work is cut); its hash is part
of every part's name, and ``plan.json`` says it in full. Parts of another plan are never taken for this one's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from memcirc.artifacts import atomic, content_hash, differences, plain, read_json, write_json

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
        for path in [*self.folder.glob("*.parquet"), self.folder / PLAN]:
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def path(self, unit: int) -> Path:
        return self.folder / f"{content_hash(plain(self.plan))[:8]}-{unit:07d}.parquet"

    def write(self, unit: int, table: pa.Table) -> None:
        """Keep a unit's table, atomically."""
        with atomic(self.path(unit)) as partial:
            pq.write_table(table, partial)

    def missing(self) -> list[int]:
        """Units without a whole part: none yet, or one that was cut short, which its successor will replace."""
        return [unit for unit in range(self.units) if not _is_whole(self.path(unit))]

    def tables(self) -> Iterator[pa.Table]:
        """All parts in the order of their units, one at a time."""
        for unit in range(self.units):
            yield pq.read_table(self.path(unit))

    def merge(self, path: Path) -> None:
        """All parts as one file, a row group a unit, in flat memory."""
        with atomic(path) as partial:
            writer = None
            for table in self.tables():
                writer = writer or pq.ParquetWriter(partial, table.schema)
                writer.write_table(table)
            assert writer is not None, "a plan has at least one unit"
            writer.close()


def _is_whole(path: Path) -> bool:
    """Whether a parquet file has its footer, which stands at its end."""
    try:
        pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError):
        return False
    return True
