"""What the studies share: a model made once in the run directory, tables and results written to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from memcirc.artifacts import StageFolder, atomic, write_json
from memcirc.patching.result import Sweep
from memcirc.work.progress import say


def made_once(folder: Path, config: Mapping[str, Any], force: bool, make: Callable[[], None]) -> None:
    """Run ``make``, which fills the folder, unless it is done for this configuration (another one is refused, unless
    ``force``)."""
    stage = StageFolder(folder)
    if not force and stage.is_done(config, [], lambda line: say(f"{line}; it is made anew")):
        return
    stage.start()
    say(f"training small models into {folder}, once")
    make()
    outputs = sorted(path for path in folder.rglob("*") if path.is_file() and path != stage.marker)
    stage.finish(config, [], outputs, 0.0)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a parquet file, atomically."""
    with atomic(path) as partial:
        pq.write_table(table, partial)


def joined_tables(sweeps: Mapping[str, Sweep]) -> pa.Table:
    """All sweeps as one long table, with a column that names the sweep."""
    tables = [
        sweep.table.add_column(0, "sweep", pa.array([name] * len(sweep.table), pa.string()))
        .add_column(1, "direction", pa.array([sweep.direction] * len(sweep.table), pa.string()))
        for name, sweep in sweeps.items()
    ]  # fmt: skip
    return pa.concat_tables(tables, promote_options="default")


def write_results(path: Path, content: Mapping[str, Any]) -> None:
    """Write a study's results as JSON; arrays as nested lists, what does not exist as null."""
    write_json(path, _plain(content))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "__dataclass_fields__"):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value
