"""Do units by processes of this machine, which share out its cores and stay for the stages to come: what a process
loads, it loads once.

A small model does not keep many threads busy: as many processes of one thread each do more. A process that dies is
replaced and its unit done again, :data:`memcirc.work.config.DEATHS` times.
"""

import os
import pickle
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from memcirc.work.config import DEATHS
from memcirc.work.freed import keep_freed_memory
from memcirc.work.parts import Parts

THREADS = "OMP_NUM_THREADS"
MOST = 8


@dataclass(frozen=True, eq=False)
class Helper:
    """A process that does units with so many threads, and the pipe to it."""

    process: Any
    pipe: Connection
    threads: int

    def do(self, task: bytes, unit: int) -> None:
        """Ask for a unit; one that is dead already is noticed when its answer is waited for."""
        with suppress(OSError):
            self.pipe.send((task, unit))

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


CREW: list[Helper] = []
"""The processes that have been started, which wait for units."""


def usual_count() -> int:
    """As many processes as this one may use cores, up to ``MOST``: each holds the library and the model."""
    return min(MOST, cores())


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def by_processes(parts: Parts, units: Sequence[int], worker: Callable[[], Any], workers: int) -> Iterator[int]:
    """Do units by so many processes at most; gives each when its part is written.

    Args:
        worker: gives a process its function from unit to table; must be picklable.

    Raises:
        ValueError: processes die of a unit, or what the function raises.
    """
    count = min(workers, len(units))
    while len(CREW) < count:
        CREW.append(_started(max(1, cores() // workers)))
    task, waiting, deaths = pickle.dumps((parts, worker)), list(reversed(units)), Counter[int]()
    idle, running = CREW[:count], dict[Any, tuple[int, Helper]]()
    try:
        while waiting or running:
            while waiting and idle:
                unit, helper = waiting.pop(), idle.pop()
                running[helper.pipe] = unit, helper
                helper.do(task, unit)
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
    makers: dict[bytes, Callable[[int], None]] = {}  # of the stage at hand
    with suppress(EOFError, OSError):
        while True:
            task, unit = pipe.recv()
            try:
                if task not in makers:
                    makers.clear()
                    makers[task] = _doing(*pickle.loads(task))
                makers[task](unit)
                answer = None
            except Exception as error:  # it is raised where the unit was asked for
                error.add_note(traceback.format_exc())
                answer = _as_sent(error)
            pipe.send(answer)


def _doing(parts: Parts, worker: Callable[[], Any]) -> Callable[[int], None]:
    make = worker()
    return lambda unit: parts.write(unit, make(unit))


def _as_sent(error: Exception) -> Exception:
    """The error, or where it does not survive a pipe one of the kind that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        known = next(kind for kind in (FileNotFoundError, ValueError, MemoryError, RuntimeError, Exception)
                     if isinstance(error, kind))  # fmt: skip
        return known(str(error))
    return error
