"""Work in units by two Ray actors beside one, on two local Ray nodes of a core each; and by two shards beside one.

python -m benchmarks.executors RUN [--task branch] [--repeats 3]

1. Scores of 16,000 windows of made-up text in units of 1,000, by the model of a finished run.
2. The full verification of one of its tasks.

All begin with nothing and take turns; counted is the whole stage, with the start of the actors and of the shards, which
are processes of one thread (each imports the library and loads the model), and without that of Ray. It says something
only where two cores are free.
"""

import argparse
import logging
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from benchmarks.memory import write_made_up
from benchmarks.timing import Row, interleaved, report
from memcirc.artifacts import DONE
from memcirc.cli import main as main_of_memcirc
from memcirc.run.config import RunConfig
from memcirc.run.pipeline import Pipeline
from memcirc.run.reading import Run
from memcirc.run.verifying import work_list
from memcirc.work.config import Execution
from memcirc.work.executors import Unfinished

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


Doers = Sequence[Execution]
"""Who does the work: one process that has Ray hand it out, or shards that run at once."""


def by(kind: str, n: int) -> Doers:
    """So many workers of a kind."""
    return [Execution("ray", workers=n)] if kind == "nodes" else [Execution(shard=f"{i}/{n}") for i in range(n)]


def all_of(doers: Doers, do: Callable[[Execution], object]) -> None:
    """Have each do the work: Ray's driver here, shards in processes of their own."""
    if len(doers) == 1 and doers[0].part is None:
        do(doers[0])
        return
    with ProcessPoolExecutor(len(doers), get_context("spawn")) as pool:
        for done in [pool.submit(do, execution) for execution in doers]:
            done.result()


def score(options: Sequence[str], execution: Execution) -> None:
    """Scores, as the command makes them."""
    who = (
        ["--shard", execution.shard] if execution.shard else ["--executor", "ray", "--workers", str(execution.workers)]
    )
    assert main_of_memcirc(["score", *options, *who]) == 0


def verify(folder: Path, config: RunConfig, task: str, execution: Execution) -> None:
    """The full verification of a task; a shard ends where others have units to do."""
    with suppress(Unfinished):
        Pipeline(folder, config, terse=True, execution=execution).verify(task, "verify-full")


def scoring(run: Run, corpus: Path, copies: Path, doers: Doers) -> Callable[[], None]:
    """A function that scores the corpus in a directory of its own."""
    numbers = count()

    def call() -> None:
        folder = copies / f"score-{doers[0]}-{next(numbers)}".replace("/", "-")
        options = {
            "--run_dir": str(folder), "--dataset": str(corpus), "--model_name": run.config.model.model_name,
            "--prompt_tokens": "32", "--generation_tokens": "32", "--unit_windows": str(UNIT),
        }  # fmt: skip
        all_of(doers, partial(score, [word for pair in options.items() for word in pair]))
        assert (folder / "score" / DONE).is_file()

    return call


def verification(run: Run, task: str, copies: Path, doers: Doers) -> Callable[[], None]:
    """A function that verifies the task in a copy of its own."""
    numbers = count()

    def call() -> None:
        folder = copies / f"verify-{doers[0]}-{next(numbers)}".replace("/", "-")
        shutil.copytree(run.path, folder, ignore=shutil.ignore_patterns("verify*", "report"))
        all_of(doers, partial(verify, folder, run.config, task))
        assert (folder / task / "verify-full" / DONE).is_file()

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--task", default="branch")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the shards, which are started later
    config = Run(chosen.run).config
    run = Run(chosen.run, replace(config, verify=replace(config.verify, checks="full")))
    with tempfile.TemporaryDirectory() as copies, two_nodes():
        corpus = Path(copies) / "corpus.jsonl"
        write_made_up(corpus, WINDOWS, random.Random(0))
        calls: dict[str, Callable[[], object]] = {}
        for kind in ("nodes", "shards"):
            for n in (1, 2):
                calls[f"scoring {kind} {n}"] = scoring(run, corpus, Path(copies), by(kind, n))
                calls[f"verification {kind} {n}"] = verification(run, chosen.task, Path(copies), by(kind, n))
        taken = interleaved(calls, dict.fromkeys(calls, chosen.repeats), warm=False)
    jobs = len(work_list(run, chosen.task).jobs)
    rows = []
    for kind, name in (("nodes", "node"), ("shards", "shard")):
        for call, work, target in (
            ("scoring", f"scores of {WINDOWS:,} windows, two {kind}", 1.7),
            ("verification", f"{jobs} jobs of {chosen.task}, two {kind}", 1.6),
        ):
            rows.append(Row(work, taken[f"{call} {kind} 2"], taken[f"{call} {kind} 1"], f"one {name}", target))
    title = "Units on two Ray nodes of one core, or by two shards, all of which count as others here"
    report("executors", title, rows, task=chosen.task, repeats=chosen.repeats)


if __name__ == "__main__":
    main()
