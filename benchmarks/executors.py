"""Work in units by two Ray actors beside one, on two local Ray nodes of a core each.

python -m benchmarks.executors RUN [--task branch] [--repeats 3]

1. Scores of 16,000 windows of made-up text in units of 1,000, by the model of a finished run.
2. The full verification of one of its tasks.

Both begin with nothing and take turns; counted is the whole stage, with the start of the actors (each imports the
library and loads the model) and without that of Ray. It says something only where two cores are free.
"""

import argparse
import logging
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from benchmarks.memory import write_made_up
from benchmarks.timing import Row, interleaved, report
from memcirc.cli import main as main_of_memcirc
from memcirc.run.pipeline import Pipeline
from memcirc.run.reading import Run
from memcirc.run.verifying import work_list
from memcirc.work.config import Execution

WINDOWS, UNIT = 16_000, 1_000


@contextmanager
def two_nodes() -> Iterator[None]:
    """A cluster of two raylets on this machine, each with a core to give away."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


def scoring(run: Run, corpus: Path, copies: Path, workers: int) -> Callable[[], int]:
    """A function that scores the corpus in a directory of its own, by so many actors."""
    numbers = count()

    def score() -> int:
        options = {
            "--run_dir": f"{copies}/score-{workers}-{next(numbers)}", "--dataset": str(corpus),
            "--model_name": run.config.model.model_name, "--prompt_tokens": "32", "--generation_tokens": "32",
            "--unit_windows": str(UNIT), "--executor": "ray", "--workers": str(workers),
        }  # fmt: skip
        return main_of_memcirc(["score", *(word for pair in options.items() for word in pair)])

    return score


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
    with tempfile.TemporaryDirectory() as copies, two_nodes():
        corpus = Path(copies) / "corpus.jsonl"
        write_made_up(corpus, WINDOWS, random.Random(0))
        calls: dict[str, Callable[[], object]] = {
            **{f"scoring {n}": scoring(run, corpus, Path(copies), n) for n in (1, 2)},
            **{f"verification {n}": verification(run, chosen.task, Path(copies), n) for n in (1, 2)},
        }
        taken = interleaved(calls, dict.fromkeys(calls, chosen.repeats), warm=False)
    jobs = len(work_list(run, chosen.task).jobs)
    rows = [
        Row(f"scores of {WINDOWS:,} windows", taken["scoring 2"], taken["scoring 1"], "one node", 1.7),
        Row(
            f"{jobs} jobs of {chosen.task}, two nodes",
            taken["verification 2"],
            taken["verification 1"],
            "one node",
            1.6,
        ),
    ]
    title = "Units on two Ray nodes of one core, whose actors count as others here"
    report("executors", title, rows, task=chosen.task, repeats=chosen.repeats)


if __name__ == "__main__":
    main()
