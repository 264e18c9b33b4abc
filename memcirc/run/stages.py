"""How a stage is run on its folder: skipped where it is done, marked when it is; whole, or in units.

Scores, divergence points, edge scores and verifications are made in units (:mod:`memcirc.work`): here, by Ray actors,
or as one shard of several that share the directory. A shard stops where others' units are missing; what cannot be
divided is done by whichever comes first.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memcirc.artifacts import StageFolder, file_hash
from memcirc.work.config import Execution
from memcirc.work.executors import Unfinished, run_units
from memcirc.work.locks import turn
from memcirc.work.parts import Make, Parts, Worker
from memcirc.work.progress import say

Made = tuple[list[Path], str]
"""A stage's outputs, and a line about them."""
Merge = Callable[[Path, Parts], Made]


@dataclass(frozen=True)
class Units:
    """A work list: how many units there are, and what makes the table of one."""

    count: int
    make: Make


@dataclass(frozen=True)
class Stage:
    """What a stage is known by: the name of its folder, its configuration, its input files, and how the configuration
    in a marker is read (those of older runs have other words)."""

    name: str
    config: Mapping[str, Any]
    inputs: Sequence[Path] = ()
    read: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict


class Stages:
    """The stages of one run directory as this process runs them.

    Args:
        force: make stages anew even where they are done, or were made with another configuration.
        terse: no lines on stderr about stages that were done before.
        execution: who does the units.
    """

    def __init__(self, run_dir: Path, force: bool, terse: bool, execution: Execution) -> None:
        self._run_dir, self._force, self._terse, self._execution = run_dir, force, terse, execution
        self.seconds: dict[str, float] = {}
        self._settled: set[str] = set()
        self._in_turn = False

    def run(self, stage: Stage, make: Callable[[Path], Made]) -> Path:
        """The stage's folder, in which ``make`` is run unless the stage is done."""
        with self._turn():
            folder = self._begun(stage)
            if folder is not None:
                start = time.perf_counter()
                try:
                    self._finish(folder, stage, make(folder.path), start)
                except BaseException:
                    folder.leave()
                    raise
        return self._run_dir / stage.name

    def run_in_units(self, stage: Stage, units_of: Callable[[], Units], worker: Worker, merge: Merge) -> Path:
        """The same for a stage whose work is a list of units; ``merge`` makes the outputs of all their tables.

        Args:
            worker: gives another process its ``make`` of a unit (see :func:`memcirc.work.executors.run_units`).

        Raises:
            Unfinished: as a shard, when units of others are missing.
            ValueError: finished units of another plan are there.
        """
        with self._turn():
            folder = self._begun(stage)
            if folder is None:
                Parts(self._run_dir / stage.name / "parts", {}).clear()  # left where the last command was killed
                return self._run_dir / stage.name
            units = units_of()
            hashes = {f"input {i}": file_hash(path) for i, path in enumerate(stage.inputs)}
            parts = Parts(folder.path / "parts", {**stage.config, **hashes, "units": units.count})
            if self._force:
                parts.clear()
            parts.open()
        start = time.perf_counter()
        try:
            run_units(parts, units.make, worker, self._execution, stage.name, folder.marker.is_file)
        except Unfinished:
            self.seconds[stage.name] = time.perf_counter() - start
            raise
        with self._turn():
            if not folder.is_done(stage.config, stage.inputs):  # else another shard has merged them
                self._finish(folder, stage, merge(folder.path, parts), start)
            parts.clear()
        return folder.path

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Holds the lock under which one process of several makes a stage; a stage that asks for another one holds
        it."""
        if self._in_turn:
            yield
            return
        with turn(self._run_dir):
            self._in_turn = True
            try:
                yield
            finally:
                self._in_turn = False

    def _begun(self, stage: Stage) -> StageFolder | None:
        """The stage's folder, made ready; None when the stage is done, or was begun by this process before."""
        name, folder = stage.name, StageFolder(self._run_dir / stage.name, self._run_dir, stage.read)
        if name in self._settled:
            return None
        self._settled.add(name)
        if not self._force and folder.is_done(
            stage.config, stage.inputs, lambda line: say(f"{line}; {name} is made anew")
        ):
            if not self._terse:
                say(f"{name}: done before")
            return None
        folder.start()
        return folder

    def _finish(self, folder: StageFolder, stage: Stage, made: Made, start: float) -> None:
        outputs, line = made
        seconds = self.seconds[stage.name] = time.perf_counter() - start
        folder.finish(stage.config, stage.inputs, outputs, seconds)
        say(f"{stage.name}: {line} ({seconds:.1f} s)")
