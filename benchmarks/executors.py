"""The full verification of a task by two Ray actors beside one: python -m benchmarks.executors RUN [--task branch]

Both begin with nothing, in copies of a finished run, and take turns; counted is the whole stage, with the start of the
actors (each imports the library and loads the model) and without that of Ray. It says something only where two cores
are free for the two actors.
"""

import argparse
import logging
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import ray

from benchmarks.timing import Row, interleaved, report
from memcirc.run.pipeline import Pipeline
from memcirc.run.reading import Run
from memcirc.run.verifying import work_list
from memcirc.work.config import Execution


def verification(run: Run, task: str, copies: Path, workers: int) -> Callable[[], Path]:
    """A function that verifies the task in a copy of its own, by so many actors."""
    execution, numbers = Execution("ray", workers=workers), count()

    def verify() -> Path:
        folder = copies / f"{workers}-{next(numbers)}"
        shutil.copytree(run.path, folder, ignore=shutil.ignore_patterns("verify*", "report"))
        return Pipeline(folder, run.config, terse=True, execution=execution).verify(task, "verify-full")

    return verify


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--task", default="branch")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    config = Run(chosen.run).config
    run = Run(chosen.run, replace(config, verify=replace(config.verify, checks="full")))
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    with tempfile.TemporaryDirectory() as copies:
        calls = {str(n): verification(run, chosen.task, Path(copies), n) for n in (1, 2)}
        taken = interleaved(calls, dict.fromkeys(calls, chosen.repeats), warm=False)
    work = f"{len(work_list(run, chosen.task).jobs)} jobs of {chosen.task}, two actors"
    rows = [Row(work, taken["2"], taken["1"], "one actor", 1.6)]
    title = "Full verification by Ray actors"
    report("executors", title, rows, task=chosen.task, repeats=chosen.repeats)


if __name__ == "__main__":
    main()
