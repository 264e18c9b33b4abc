"""Verification in units: shared out, interrupted, in any order, and always the same bytes."""

import json
import random
import shutil
import threading
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from memcirc.artifacts import write_json
from memcirc.cli import MISTAKE, main
from memcirc.models import Model, load_model
from memcirc.run.pipeline import Pipeline
from memcirc.run.reading import Run
from memcirc.run.verifying import merged, verification_units, verified, work_list
from memcirc.verification.check import Job
from memcirc.verification.config import VerifyConfig
from memcirc.verification.result import Verification
from memcirc.verification.subject import Subject
from memcirc.verification.verify import done
from memcirc.work.config import Execution
from memcirc.work.executors import Unfinished
from memcirc.work.processes import CREW

FILE = Path("verify/verification.json")
QUICK = VerifyConfig(
    n_random=20, curve_points=3, ablation="resample", n_candidates=5,
    checks="faithfulness,curve,random,dose,refinement,certificates,knockout,time",
)  # fmt: skip


@pytest.fixture
def copy(finished_run: Path, tmp_path: Path) -> Path:
    """The finished run without its verifications."""
    run_dir = tmp_path / "copy"
    shutil.copytree(finished_run, run_dir)
    for task in ("branch", "memorization"):
        shutil.rmtree(run_dir / task / "verify")
    return run_dir


@pytest.fixture(scope="module")
def quick(finished_run: Path) -> Run:
    """The finished run, as it is to be verified quickly; it is only read."""
    return Run(finished_run, replace(Run(finished_run).config, verify=QUICK))


@pytest.fixture(scope="module")
def model(quick: Run) -> Model:
    name = quick.config.model.model_name
    return replace(load_model(name, "cpu"), name=name)


@pytest.fixture
def pipelines(quick: Run, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a run whose pipelines have loaded the model."""
    run_dir = tmp_path / "quick"
    shutil.copytree(quick.path, run_dir)
    shutil.rmtree(run_dir / "branch" / "verify")
    monkeypatch.setattr("memcirc.run.scoring.run_model", lambda _: model)
    return run_dir


def content(run_dir: Path) -> dict[str, bytes]:
    return {task: (run_dir / task / FILE).read_bytes() for task in ("branch", "memorization")}


def test_two_shards_give_the_bytes_of_one_process(
    copy: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(copy), "--shard", "0/2"]) == 0
    assert not list(copy.rglob("verification.json"))
    said = capsys.readouterr().err
    assert all(f"{task}/verify: " in said for task in ("branch", "memorization"))
    assert said.count("left to other shards") == 2
    assert main(["verify", str(copy), "--shard", "1/2"]) == 0
    assert content(copy) == content(finished_run)
    assert not list(copy.rglob("verify/parts"))


def test_two_processes_give_the_bytes_of_one(copy: Path, finished_run: Path) -> None:
    assert main(["verify", str(copy), "--executor", "processes", "--workers", "2"]) == 0
    assert len(CREW) == 2
    assert content(copy) == content(finished_run)


def test_two_ray_actors_give_the_bytes_of_one_process(copy: Path) -> None:
    ray = pytest.importorskip("ray")
    command = ["verify", str(copy), "--contrastive_mode", "divergence", "--checks", "faithfulness,random,knockout,time"]
    assert main(command) == 0
    alone = (copy / "branch" / "verify").rename(copy / "alone")
    try:
        assert main([*command, "--executor", "ray", "--workers", "2"]) == 0
    finally:
        ray.shutdown()
    assert (copy / "branch" / FILE).read_bytes() == (alone / "verification.json").read_bytes()


@pytest.mark.slow
def test_two_ray_nodes_of_which_one_dies_give_the_bytes_of_one_process(
    copy: Path, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An actor on each of two nodes of one core; the second is lost with a unit at work, and its actor finds room on
    the first when that has nothing left to do."""
    ray = pytest.importorskip("ray")
    cluster = import_module("ray.cluster_utils").Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second, lost, ended = cluster.add_node(num_cpus=1), threading.Event(), threading.Event()

    def lose() -> None:
        while not (list(copy.rglob("verify/parts/*.parquet")) or ended.is_set()):
            time.sleep(0.01)
        cluster.remove_node(second, allow_graceful=False)
        if not (copy / "branch" / FILE).exists():  # both nodes were at work
            lost.set()

    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    killer = threading.Thread(target=lose, daemon=True)
    killer.start()
    try:
        assert main(["verify", str(copy), "--executor", "ray", "--workers", "2"]) == 0
    finally:
        ended.set()
        killer.join(30)
        ray.shutdown()
        cluster.shutdown()
    assert lost.is_set()
    assert content(copy) == content(finished_run)


def test_the_order_of_the_jobs_makes_no_difference_nor_who_puts_them_together(quick: Run, model: Model) -> None:
    units = verification_units(quick, "branch", lambda: model)
    order = list(range(units.count))
    random.Random(0).shuffle(order)
    tables = {unit: units.make(unit) for unit in order}
    found = merged(quick, "branch", [tables[unit] for unit in range(units.count)])
    alone = verified(quick, "branch", model)
    assert json.dumps(found.to_json()) == json.dumps(alone.to_json())
    assert len(found.curve) == len(found.knockout) == 4
    assert found.refused == alone.refused
    assert len(set(found.refused)) == len(found.refused)


def test_jobs_are_listed_without_a_model_and_each_mode_has_its_own(quick: Run) -> None:
    jobs = work_list(quick, "branch").jobs
    assert [outline.mode for outline, _ in jobs] == sorted((o.mode for o, _ in jobs), reverse=True)
    assert len(jobs) == verification_units(quick, "branch", lambda: pytest.fail("loaded")).count
    assert {job.label for _, job in jobs} >= {"curve", "dose", "knockout", "resample, noising"}


def test_what_an_exception_stops_goes_on_from_the_finished_jobs(
    pipelines: Path, quick: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels: list[str] = []

    def stopping(job: Job, subject: Subject) -> Verification:
        labels.append(job.label)
        found = done(job, subject)
        if len(labels) == 5:  # the job is done, and nothing written of it
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr("memcirc.verification.stage.done", stopping)
    with pytest.raises(KeyboardInterrupt):
        Pipeline(pipelines, quick.config).verify("branch")
    assert len(list((pipelines / "branch" / "verify" / "parts").glob("*.parquet"))) == 4
    path = Pipeline(pipelines, quick.config).verify("branch")
    jobs = [job.label for _, job in work_list(quick, "branch").jobs]
    assert labels == [*jobs[:5], *jobs[4:]]
    whole = verified(quick, "branch", Pipeline(pipelines, quick.config).model)
    write_json(pipelines / "whole.json", whole.to_json())
    assert path.read_bytes() == (pipelines / "whole.json").read_bytes()


def test_finished_jobs_of_another_plan_are_refused(pipelines: Path, quick: Run) -> None:
    with pytest.raises(Unfinished, match=r"branch/verify: \d+ units done as shard 0/2"):
        Pipeline(pipelines, quick.config, execution=Execution(shard="0/2")).verify("branch")
    parts = sorted((pipelines / "branch" / "verify" / "parts").iterdir())
    other = replace(quick.config, verify=replace(QUICK, seed=7))
    with pytest.raises(ValueError, match=r"another plan: seed was 0, now 7; .*--force to begin anew"):
        Pipeline(pipelines, other).verify("branch")
    assert sorted((pipelines / "branch" / "verify" / "parts").iterdir()) == parts


@pytest.mark.parametrize("where", [["--out", "elsewhere"], ["--preset", "branch_random"]])
def test_only_the_runs_own_verification_is_shared_out(
    finished_run: Path, where: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(finished_run), *where, "--shard", "0/2"]) == MISTAKE
    assert "share out a run's verification" in capsys.readouterr().err
    assert main(["verify", str(finished_run), "--shard", "0/2", "--force"]) == MISTAKE
    assert "begin anew with --force alone" in capsys.readouterr().err
