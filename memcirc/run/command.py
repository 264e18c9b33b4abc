"""One command on a run directory: its stages, its configuration, its line in the manifest."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from memcirc.artifacts import DONE, content_hash, read_json, sweep, write_json
from memcirc.hub import upload
from memcirc.options import build
from memcirc.pairs.record import TooFewPairs
from memcirc.published import INDEX
from memcirc.report.card import verification_card
from memcirc.report.page import write_report
from memcirc.report.tables import text_table
from memcirc.run import manifest
from memcirc.run.config import CONFIG_FILE, RunConfig, StageCommand, stored_config
from memcirc.run.loading import check_engines, check_methods, check_windows, run_model
from memcirc.run.pipeline import Pipeline
from memcirc.run.publishing import STALE, publish
from memcirc.run.reading import Run, write_absent
from memcirc.run.redacting import changed_files, forget_tables, redacting
from memcirc.run.verifying import given_files, verified
from memcirc.verification.config import VerifyConfig
from memcirc.work.config import Execution
from memcirc.work.executors import Unfinished
from memcirc.work.locks import at_work, turn
from memcirc.work.progress import say

SHOWN = ("mode", "ablation", "direction", "n_edges", "n_pairs", "faithfulness", "nothing", "everything", "note")


def run_stages(
    run_dir: Path,
    config: RunConfig,
    force: bool,
    argv: list[str],
    last: StageCommand | None = None,
    execution: Execution = Execution(),  # noqa: B008 (frozen)
) -> None:
    """Run everything up to a stage; to the page by default. The stored configuration changes only when all stages
    accept it. A shard ends at the first stage of which units are left to others.

    Raises:
        ValueError: another process is at work on the directory, or a shard is to make finished stages anew.
    """
    _refuse_forced_shard(force, execution)
    check_engines(config)
    check_windows(config)
    check_methods(config)
    pipeline = Pipeline(run_dir, config, force, execution=execution)
    with at_work(run_dir, execution.part), _recorded(pipeline, argv):
        if last is None:
            page = pipeline.everything()
            print(f"{verification_card(Run(run_dir, config).files().tasks)}\n{page}")
        else:
            for task in [(name,) for name in config.model.tasks] if last.of_tasks else [()]:
                getattr(pipeline, last.stage)(*task)


def verify_run(
    run_dir: Path,
    config: RunConfig,
    force: bool,
    argv: list[str],
    execution: Execution = Execution(),  # noqa: B008 (frozen)
) -> None:
    """Verify the circuits of a run and print the table. With other options than the run's own, the result is written to
    a folder of its own (``TASK/verify-HASH``) and the run's configuration is left as it is; the first verification of a
    run, unless it is a full one, is the run's own whatever its options. The full verification (``TASK/verify-full``;
    ``TASK/verify-full-HASH`` with further options) ends with the transfer between subsets and with the page. A shard
    does its units of every task, and ends there if some are left to others.

    Raises:
        ValueError: as :func:`run_stages`.
    """
    _refuse_forced_shard(force, execution)
    own, full, name = _own_verification(run_dir, config), config.verify.checks == "full", "verify"
    differs = own is not None and own != config.verify
    if own is not None and differs:
        name += "-full" if full else ""
        alone = full and replace(own, checks="full") == config.verify
        name += "" if alone else f"-{content_hash(asdict(config.verify))[:8]}"
    check_engines(config)
    pipeline, left = Pipeline(run_dir, config, force, execution=execution), []
    with at_work(run_dir, execution.part), _recorded(pipeline, argv, keep_config=differs):
        for task in config.model.tasks:
            try:
                path = pipeline.verify(task, name)
            except TooFewPairs as reason:
                pipeline.absent[task] = str(reason)
                continue
            except Unfinished as state:
                left.append(str(state))
                continue
            pipeline.finished.append(task)
            if own is None:  # what is verified now is the run's own, also where the next task is interrupted
                config.save(run_dir)
            _show(path, read_json(path))
        if left:
            raise Unfinished("; ".join(left))
        if not pipeline.finished:
            raise TooFewPairs("; ".join(f"{task}: {reason}" for task, reason in pipeline.absent.items()))
        if full:
            pipeline.transfer()
            with turn(run_dir):
                _show_page(run_dir, config if own is None else replace(config, verify=own), pipeline.absent, force)


def _own_verification(run_dir: Path, config: RunConfig) -> VerifyConfig | None:
    """The options of the run's own verification; None where this one becomes it: nothing is stored, or stages before
    it have stored options that nothing was verified with. A full verification never becomes it."""
    stored, verified = stored_config(run_dir).get("verify"), any(run_dir.glob(f"*/verify/{DONE}"))
    if stored is None or not (verified or config.verify.checks == "full"):
        return None
    return build(VerifyConfig, stored)


def _show_page(run_dir: Path, config: RunConfig, absent: Mapping[str, str], force: bool) -> None:
    """Make the page of a full verification, with the ground truth, and print where both are."""
    # TransformerLens comes with it, which no other command needs.
    from memcirc.run.ground_truth import ensure_ground_truth

    try:
        print(ensure_ground_truth(run_dir, config.verify.seed, force))
    except ValueError as reason:
        print(f"not measured: ground truth: {reason}")
    write_absent(run_dir, absent)
    files = Run(run_dir, config).files()
    print(f"{verification_card(files.tasks)}\n{write_report(files, run_dir / 'report')}")


def _refuse_forced_shard(force: bool, execution: Execution) -> None:
    if force and execution.part is not None:
        raise ValueError(
            f"--force with --shard {execution.shard} would throw away what other shards have made; begin anew with "
            "--force alone, or in another --run_dir"
        )


def verify_apart(run_dir: Path, config: RunConfig, out: Path) -> None:
    """Verify the circuits of a run into another folder, ``OUT/TASK/verification.json``, and print the tables; the run's
    own directory is read and not written. A task of which the run has found no circuit is left out, as long as another
    one has one."""
    given_files(config)  # refused before the model is loaded
    run, model = Run(run_dir, config), run_model(config)
    tasks = [task for task in run.tasks if run.has(f"{task}/discover")] or run.tasks
    for task in run.tasks:
        if task not in tasks:
            say(f"{task}: left out, no circuit of it was found")
            continue
        content = verified(run, task, model).to_json()
        write_json(out / task / "verification.json", content)
        _show(out / task / "verification.json", content)


def report_run(run_dir: Path, out: Path | None, redact: bool = False) -> None:
    """Make a run's page from its artifacts alone, print the verification card and the page's path.

    Args:
        out: the folder to write to; default: the run's ``report``. With one of its own the run is not written.
        redact: passages are hashes and lengths in all that is written; the run's artifacts stay as they are.
    """
    files = Run(run_dir).files()
    for name, reason in {**{f"task {task}": why for task, why in files.absent.items()}, **files.unread}.items():
        say(f"report: {name} is left out: {reason}")
    target = run_dir / "report" if out is None else out
    with nullcontext() if out is not None else at_work(run_dir):
        if redact:
            forget_tables(target)
            with changed_files(files, redacting(files)) as told:
                page = write_report(told, target)
        else:
            page = write_report(files, target)
    print(f"{verification_card(files.tasks)}\n{page}")


def publish_run(run_dir: Path, name: str, out: Path | None, with_text: bool, to_hub: bool, private: bool) -> None:
    """Prepare a run's folder for others and print where it is; put it on the hub where that is asked for.

    Raises:
        FileNotFoundError, ValueError: as :func:`memcirc.run.publishing.publish`, or the hub does not take it.
    """
    folder = publish(run_dir, name, out, with_text)
    print(folder)
    if to_hub:
        upload(folder, name, private, INDEX, STALE)
        print(f"https://huggingface.co/{name}")


def _show(path: Path, content: Mapping[str, Any]) -> None:
    """Print where a verification is, its table, and what could not be measured."""
    print(f"{path}\n{text_table(content['faithfulness'], SHOWN)}")
    for line in content["refused"]:
        print(f"not measured: {line}")


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
        sweep(run_dir)
        if not keep_config:
            config.save(run_dir)
        manifest.record(run_dir, argv, config.sections, pipeline.device, pipeline.stages.seconds)
