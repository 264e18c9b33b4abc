"""A run's artifacts changed on their way to a page or a folder for others; the run's own stay as they are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from memcirc.artifacts import read_json, write_json
from memcirc.report.files import RunFiles, TaskFiles
from memcirc.report.redaction import Redaction, without_places
from memcirc.verification.result import record_types

Change = Callable[[Any], Any]


@dataclass(frozen=True)
class Changes:
    """What is done to the content of each kind of artifact."""

    pairs: Change
    verification: Change
    other: Change


def redacting(files: RunFiles) -> Changes:
    """Passages as marks."""
    redaction = Redaction.of(read_json(task.pairs) for task in files.tasks.values())
    return Changes(redaction.pairs, redaction.verification, redaction.anywhere)


def for_others(files: RunFiles, with_text: bool) -> Changes:
    """Places of this machine as their last parts and, unless text is wanted, passages as marks."""
    if with_text:
        return Changes(
            lambda content: {**content, "memcirc": without_places(content["memcirc"])},
            lambda content: {
                **without_places({**content, "distribution": []}),
                "distribution": content["distribution"],
            },
            without_places,
        )
    told = redacting(files)
    return Changes(
        lambda content: without_places(told.pairs(content)),
        lambda content: without_places(told.verification(content)),
        lambda content: without_places(told.other(content)),
    )


@contextmanager
def changed_files(files: RunFiles, changes: Changes) -> Iterator[RunFiles]:
    """The files of a page with their contents changed, for as long as it takes to make one."""
    with TemporaryDirectory(prefix="memcirc-") as name:
        folder = Path(name)
        yield replace(
            files,
            config=changes.other(files.config),
            tasks={task: _task(of_task, folder / task, changes) for task, of_task in files.tasks.items()},
            absent=changes.other(files.absent),
            transfer=_written(files.transfer, folder / "transfer.json", changes.other),
        )


def _task(files: TaskFiles, folder: Path, changes: Changes) -> TaskFiles:
    circuits = {mode: _copy(path, folder / path.name, changes.other) for mode, path in files.circuits.items()}
    return TaskFiles(
        _copy(files.pairs, folder / "pairs.json", changes.pairs),
        circuits,
        _copy(files.verification, folder / "verification.json", changes.verification),
    )


def _written(path: Path | None, target: Path, change: Change) -> Path | None:
    return None if path is None else _copy(path, target, change)


def _copy(path: Path, target: Path, change: Change) -> Path:
    write_json(target, change(read_json(path)))
    return target


def forget_tables(out: Path) -> None:
    """Remove the tables that an earlier page has left in its folder, with text in them where it had some."""
    patterns = (*(f"*_{kind}.json" for kind in record_types()), "task_*.csv", "task_*.tex")
    for path in [path for pattern in patterns for path in (out / "tables").glob(pattern)]:
        path.unlink()
