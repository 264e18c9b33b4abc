"""Do the units of a plan that are not done yet: here, by processes of this machine, as a shard, or by Ray actors."""

import importlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from tqdm import tqdm

from memcirc.work.config import DEATHS, Execution
from memcirc.work.freed import keep_freed_memory
from memcirc.work.parts import Make, Parts, Worker
from memcirc.work.processes import by_processes, usual_count
from memcirc.work.progress import say

PATIENCE = 60.0
"""Seconds without a finished unit after which it is asked whether there is a node left that could make one."""


class Unfinished(RuntimeError):
    """Raised where this shard's units are done and those of other shards are missing."""


def run_units(
    parts: Parts,
    make: Make,
    worker: Worker,
    execution: Execution,
    label: str,
    done: Callable[[], bool] = lambda: False,
) -> None:
    """Do what is missing, and say on stderr what of it was there and is damaged.

    Args:
        make: this process's own function from unit to table.
        worker: what another process calls to get one; must be picklable.
        label: the stage's name, for the progress bar.
        done: whether the stage has been finished meanwhile, and its parts merged, by another shard.

    Raises:
        Unfinished: as a shard, when units of other shards are missing.
        ValueError: Ray is asked for and not installed, or a worker cannot do its work; or whatever ``make`` raises.
    """
    missing = parts.missing()
    shard = execution.part
    own = [unit for unit in missing if shard is None or shard.has(unit)]
    damaged = [unit for unit in own if parts.path(unit).is_file()]
    if damaged:
        say(f"{label}: {len(damaged)} finished units are damaged on disk and made anew")
    bar = tqdm(
        total=parts.units, initial=parts.units - len(missing), desc=label, unit="unit", disable=None, leave=False
    )
    count = execution.workers or usual_count()
    with bar:
        if execution.executor == "ray" and own:
            results = _on_ray(parts, own, worker, execution.workers)
        elif execution.executor == "processes" and min(count, len(own)) > 1:
            results = by_processes(parts, own, worker, count)
        else:
            results = _here(parts, (unit for unit in own if not done()), make)
        for _ in results:
            bar.update()
    left = parts.absent()
    if left and not done():
        raise Unfinished(
            f"{label}: {len(own)} units done as shard {shard}; {len(left)} of {parts.units} are left to other shards"
        )


def _here(parts: Parts, units: Iterable[int], make: Make) -> Iterator[int]:
    for unit in units:
        parts.write(unit, make(unit))
        yield unit


def _on_ray(parts: Parts, units: list[int], worker: Worker, workers: int | None) -> Iterator[int]:
    """One actor a device. A unit whose actor dies, or is lost with its node, is given to a new one, :data:`DEATHS`
    times; the new one starts wherever there is room, at the latest when the others have nothing left to do."""
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise ValueError("--executor ray needs Ray: pip install 'memcirc[ray]'") from None
    if not ray.is_initialized():
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of a change to come
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    devices = int(ray.cluster_resources().get("GPU", 0))
    count = workers or devices or max(1, int(ray.cluster_resources().get("CPU", 1)) // 2)
    kind, needs = ("GPU", {"num_gpus": 1}) if devices else ("CPU", {"num_cpus": 1})
    actor = ray.remote(**needs)(_Actor)
    idle = [actor.remote(parts, worker) for _ in range(min(count, len(units)))]
    running: dict[Any, tuple[int, Any]] = {}
    waiting, deaths = list(reversed(units)), Counter[int]()
    try:
        while waiting or running:
            while waiting and idle:
                unit, chosen = waiting.pop(), idle.pop()
                running[chosen.do.remote(unit)] = unit, chosen
            while idle:
                ray.kill(idle.pop())
            ended, _ = ray.wait(list(running), num_returns=1, timeout=PATIENCE)
            if not ended:
                if ray.cluster_resources().get(kind, 0) < 1:
                    raise ValueError(f"{parts.folder}: no node of the Ray cluster that is left has a {kind}")
                continue
            (finished,) = ended
            unit, chosen = running.pop(finished)
            idle.append(chosen)
            try:
                yield ray.get(finished)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as error:
                deaths[unit] += 1
                if deaths[unit] > DEATHS:
                    reason = " ".join(str(error).split())
                    raise ValueError(f"{parts.folder}: a Ray actor cannot do its units: {reason[:400]}") from None
                ray.kill(idle.pop())
                idle.append(actor.remote(parts, worker))
                waiting.append(unit)
    finally:
        for one in [*idle, *(chosen for _, chosen in running.values())]:
            ray.kill(one)


class _Actor:
    """A process that loads what the units need with the first of them, so that an error in loading is that unit's."""

    def __init__(self, parts: Parts, worker: Worker) -> None:
        keep_freed_memory()
        self._parts, self._worker = parts, cache(worker)

    def do(self, unit: int) -> int:
        self._parts.write(unit, self._worker()(unit))
        return unit
