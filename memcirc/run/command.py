"""One command on a run directory: its stages, its configuration, its line in the manifest."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from memcirc.artifacts import content_hash, read_json
from memcirc.options import build
from memcirc.pairs.record import TooFewPairs
from memcirc.report.card import verification_card
from memcirc.report.tables import text_table
from memcirc.run import manifest
from memcirc.run.config import CONFIG_FILE, RunConfig, stored_config
from memcirc.run.ground_truth import ensure_ground_truth
from memcirc.run.pipeline import Pipeline
from memcirc.verification.config import VerifyConfig
from memcirc.work.config import Execution
from memcirc.work.executors import Unfinished
from memcirc.work.locks import at_work, turn

STAGES = ("windows", "score", "pairs", "discover", "report")
SHOWN = ("mode", "ablation", "direction", "n_edges", "n_pairs", "faithfulness", "nothing", "everything", "note")


def run_stages(
    run_dir: Path,
    config: RunConfig,
    force: bool,
    argv: list[str],
    last_stage: str,
    execution: Execution = Execution(),  # noqa: B008 (frozen)
) -> None:
    """Run everything up to a stage. The stored configuration changes only when all stages accept it. A shard ends at
    the first stage of which units are left to others.

    Raises:
        ValueError: another process is at work on the directory, or a shard is to make finished stages anew.
    """
    assert last_stage in STAGES
    if force and execution.part is not None:
        raise ValueError(
            f"--force with --shard {execution.shard} would throw away what other shards have made; choose one"
        )
    pipeline = Pipeline(run_dir, config, force, execution=execution)
    with at_work(run_dir, execution.part), _recorded(pipeline, argv):
        if last_stage == "windows":
            pipeline.windows()
        elif last_stage == "score":
            pipeline.score()
        elif last_stage == "report":
            page = pipeline.everything()
            print(f"{verification_card(run_dir, pipeline.finished)}\n{page}")
        else:
            for task in config.model.tasks:
                getattr(pipeline, last_stage)(task)


def verify_run(run_dir: Path, config: RunConfig, force: bool, argv: list[str]) -> None:
    """Verify the circuits of a run and print the table. Asked for in another way than the run itself was, the result
    gets a folder of its own beside the run's (``TASK/verify-HASH``) and the stored configuration stays. The full
    verification (``TASK/verify-full``; ``TASK/verify-full-HASH`` with further options) ends with the transfer between
    subsets and with the page."""
    stored = stored_config(run_dir).get("verify")
    own = None if stored is None else build(VerifyConfig, stored)
    differs = own is not None and own != config.verify
    full = config.verify.checks == "full"
    name = "verify"
    if own is not None and differs:
        name += "-full" if full else ""
        alone = full and replace(own, checks="full") == config.verify
        name += "" if alone else f"-{content_hash(asdict(config.verify))[:8]}"
    pipeline = Pipeline(run_dir, config, force)
    with at_work(run_dir), _recorded(pipeline, argv, keep_config=differs):
        for task in config.model.tasks:
            try:
                path = pipeline.verify(task, name)
            except TooFewPairs as reason:
                pipeline.absent[task] = str(reason)
                continue
            pipeline.finished.append(task)
            content = read_json(path)
            print(f"{path}\n{text_table(content['faithfulness'], SHOWN)}")
            for line in content["refused"]:
                print(f"not measured: {line}")
        if not pipeline.finished:
            raise TooFewPairs("; ".join(f"{task}: {reason}" for task, reason in pipeline.absent.items()))
        if full:
            pipeline.transfer()
            try:
                print(ensure_ground_truth(run_dir, config.verify.seed, force))
            except ValueError as reason:
                print(f"not measured: ground truth: {reason}")
            print(f"{verification_card(run_dir, pipeline.finished)}\n{pipeline.report()}")


@contextmanager
def _recorded(pipeline: Pipeline, argv: list[str], keep_config: bool = False) -> Iterator[None]:
    """Store configuration and manifest when all went well; an interrupted first command leaves its configuration. A
    shard that waits for others has gone well, and says so."""
    run_dir, config = pipeline.run_dir, pipeline.config
    try:
        yield
    except Unfinished as state:
        print(f"{state}; run this command again when they are done", file=sys.stderr)
    except BaseException:
        if pipeline.stages.seconds and not (run_dir / CONFIG_FILE).exists():
            config.save(run_dir)
        raise
    with turn(run_dir):
        if not keep_config:
            config.save(run_dir)
        manifest.record(run_dir, argv, asdict(config), pipeline.device, pipeline.stages.seconds)
