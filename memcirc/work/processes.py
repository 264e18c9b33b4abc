"""Do units by processes of this machine, which share out its cores and stay for the stages to come: what a process
loads, it loads once.

A small model does not keep many threads busy: as many processes of one thread each do more. A process that dies is
replaced and its unit done again, :data:`memcirc.work.config.DEATHS` times.
"""

import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from memcirc.work.config import DEATHS
from memcirc.work.freed import keep_freed_memory
from memcirc.work.parts import Parts, Worker

THREADS = "OMP_NUM_THREADS"
MOST = 8


@dataclass(frozen=True, eq=False)
class Helper:
    """A process that does units with so many threads, and the pipe to it."""

    process: Any
    pipe: Connection
    threads: int

    def do(self, stage: int, parts: Parts, worker: Worker, unit: int) -> None:
        """Ask for a unit; one that is dead already is noticed when its answer is waited for."""
        with suppress(OSError):
            self.pipe.send((stage, parts, worker, unit))

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


STAGES = count()
"""Numbers of the work lists, by which a process knows whether it has what makes a unit of one."""
CREW: list[Helper] = []
"""The processes that have been started, which wait for units."""


def usual_count() -> int:
    """As many processes as this one may use cores, up to ``MOST``: each holds the library and the model."""
    return min(MOST, cores())


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def by_processes(parts: Parts, units: Sequence[int], worker: Worker, workers: int) -> Iterator[int]:
    """Do units by so many processes at most; gives each when its part is written.

    Args:
        worker: what a process calls to get its function from unit to table.

    Raises:
        ValueError: processes die of a unit, or what the function raises.
    """
    n = min(workers, len(units))
    while len(CREW) < n:
        CREW.append(_started(max(1, cores() // workers)))
    stage, waiting, deaths = next(STAGES), list(reversed(units)), Counter[int]()
    idle, running = CREW[:n], dict[Any, tuple[int, Helper]]()
    try:
        while waiting or running:
            while waiting and idle:
                unit, helper = waiting.pop(), idle.pop()
                running[helper.pipe] = unit, helper
                helper.do(stage, parts, worker, unit)
            for pipe in wait(list(running)):
                unit, helper = running.pop(pipe)
                try:
                    error = helper.pipe.recv()
                except (EOFError, OSError):
                    deaths[unit] += 1
                    if deaths[unit] > DEATHS:
                        _dismiss(helper)
                        raise ValueError(f"{parts.folder}: processes die of unit {unit} (memory?)") from None
                    idle.append(_replaced(helper))
                    waiting.append(unit)
                    continue
                idle.append(helper)
                if error is not None:
                    raise error
                yield unit
    finally:
        for _, helper in running.values():  # at work on what nobody waits for
            _dismiss(helper)


def _started(threads: int) -> Helper:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_help, args=(theirs,), daemon=True)
    before = os.environ.get(THREADS)
    os.environ[THREADS] = str(threads)  # read when the process loads torch
    try:
        process.start()
    finally:
        if before is None:
            del os.environ[THREADS]
        else:
            os.environ[THREADS] = before
    theirs.close()
    return Helper(process, ours, threads)


def _dismiss(helper: Helper) -> None:
    CREW.remove(helper)
    helper.end()


def _replaced(helper: Helper) -> Helper:
    _dismiss(helper)
    CREW.append(_started(helper.threads))
    return CREW[-1]


def _help(pipe: Connection) -> None:
    """Do units until the other end of the pipe is closed. The command that asks speaks, and is interrupted, for all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (as long as the process)
    keep_freed_memory()
    makers: dict[int, Callable[[int], None]] = {}  # of the stage at hand
    with suppress(EOFError, OSError):
        while True:
            stage, parts, worker, unit = pipe.recv()
            try:
                if stage not in makers:
                    makers.clear()
                    makers[stage] = _doing(parts, worker)
                makers[stage](unit)
            except Exception as error:  # it is raised where the unit was asked for
                error.add_note(traceback.format_exc())
                _send(pipe, error)
            else:
                pipe.send(None)


def _doing(parts: Parts, worker: Worker) -> Callable[[int], None]:
    make = worker()
    return lambda unit: parts.write(unit, make(unit))


def _send(pipe: Connection, error: Exception) -> None:
    """Send an error, or where it does not survive that one of the kind that says the same."""
    try:
        type(error)(*error.args)
        pipe.send(error)
    except Exception:
        kinds = (FileNotFoundError, ValueError, MemoryError, RuntimeError, Exception)
        pipe.send(next(kind for kind in kinds if isinstance(error, kind))(str(error)))
