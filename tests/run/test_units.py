"""Scores and edge scores in units: killed, resumed, shared out, and always the same bytes."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memcirc.cli import FAILURE, MISTAKE, main
from memcirc.work.config import Execution
from memcirc.work.executors import run_units
from memcirc.work.locks import at_work
from memcirc.work.parts import Parts

CORPUS = ("--model_name", "--dataset", "--prompt_tokens", "--generation_tokens", "--device")
UNITS = ["--unit_windows", "16", "--mem_batch_size", "8"]
SCORES = Path("score/scores.parquet")


def chosen(options: Sequence[str], *names: str) -> list[str]:
    """The options of those names, with their values."""
    values = dict(zip(options[::2], options[1::2], strict=True))
    return [word for name in names for word in (name, values[name])]


@pytest.fixture(scope="module")
def corpus(run_options: list[str]) -> list[str]:
    return chosen(run_options, *CORPUS)


@pytest.fixture(scope="module")
def thresholds(run_options: list[str]) -> list[str]:
    return chosen(run_options, "--threshold", "--low_threshold")


@pytest.fixture(scope="module")
def scored(corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose scores were made without interruption."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    assert main(["score", *corpus, *UNITS, "--run_dir", str(run_dir)]) == 0
    return run_dir


def started(command: Sequence[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "memcirc", *command], stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def parts(run_dir: Path) -> list[Path]:
    return sorted((run_dir / "score" / "parts").glob("*.parquet"))


def until_parts(run_dir: Path, count: int, *workers: "subprocess.Popen[str]") -> None:
    """Wait for so many finished units; fails when those who make them are gone before."""
    while len(parts(run_dir)) < count:
        assert any(worker.poll() is None for worker in workers), "all workers ended without the units waited for"
        time.sleep(0.05)


def test_three_shards_one_killed_finished_by_one_give_the_same_bytes(
    corpus: list[str], scored: Path, tmp_path: Path
) -> None:
    command = ["score", *corpus, *UNITS, "--run_dir", str(tmp_path)]
    assert main(["prepare", *corpus, "--run_dir", str(tmp_path)]) == 0
    shards = [started([*command, "--shard", f"{i}/3"]) for i in range(3)]
    until_parts(tmp_path, 1, *shards)
    os.killpg(shards[1].pid, signal.SIGKILL)
    said = [process.communicate(timeout=300)[1] for process in shards]
    assert [process.returncode for process in shards] == [0, -signal.SIGKILL, 0]
    assert "left to other shards" in said[0] + said[2]
    assert not (tmp_path / SCORES).exists()
    assert main([*command, "--shard", "0/1"]) == 0
    assert (tmp_path / SCORES).read_bytes() == (scored / SCORES).read_bytes()
    assert not parts(tmp_path)


def test_an_interrupted_run_keeps_its_units_and_goes_on(corpus: list[str], tmp_path: Path) -> None:
    fine = ["score", *corpus, "--unit_windows", "1", "--mem_batch_size", "1"]  # the signal comes before the last unit
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    process = started([*fine, "--run_dir", str(broken)])
    until_parts(broken, 2, process)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "goes on from them" in said
    kept = parts(broken)
    assert 2 <= len(kept) < 128
    for path in kept:  # whoever makes them again would replace them
        path.chmod(0o444)
        os.utime(path, ns=(1, 1))
    for run_dir in (broken, whole):
        assert main([*fine, "--run_dir", str(run_dir), "--shard", "0/2"]) == 0
    assert all(path.stat().st_mtime_ns == 1 for path in kept)
    for run_dir in (broken, whole):
        assert main([*fine, "--run_dir", str(run_dir)]) == 0
    assert (broken / SCORES).read_bytes() == (whole / SCORES).read_bytes()


def test_a_plan_that_changed_is_refused_and_forced(
    corpus: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["score", *corpus, *UNITS, "--run_dir", str(tmp_path)]
    assert main([*command, "--shard", "0/2"]) == 0
    assert parts(tmp_path)
    capsys.readouterr()
    assert main([*command, "--level", "exact"]) == MISTAKE
    assert "another plan: level was 'full', now 'exact'" in capsys.readouterr().err
    assert parts(tmp_path)
    assert main([*command, "--level", "exact", "--shard", "1/2", "--force"]) == MISTAKE
    assert main([*command, "--level", "exact", "--force"]) == 0
    assert "bleu4" not in pq.read_schema(tmp_path / SCORES).names


def test_two_runs_on_one_directory_are_one_too_many(
    corpus: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_work(tmp_path):
        assert main(["score", *corpus, "--run_dir", str(tmp_path)]) == MISTAKE
    assert f"is at work: process {os.getpid()}" in capsys.readouterr().err
    assert not (tmp_path / "windows").exists()


@pytest.mark.parametrize("shard", ["2/2", "-1/2", "two"])
def test_a_shard_that_is_none_is_one_line(
    corpus: list[str], tmp_path: Path, shard: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", *corpus, "--run_dir", str(tmp_path), f"--shard={shard}"]) == MISTAKE
    assert "accepted are" in capsys.readouterr().err


def test_pairs_need_decoded_scores(corpus: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", *corpus, *UNITS, "--run_dir", str(tmp_path), "--level", "exact"]) == MISTAKE
    assert "'exact' gives no bleu4" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_nothing_half_written_counts(
    corpus: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["score", *corpus, *UNITS, "--run_dir", str(tmp_path)]
    assert main(["prepare", *corpus, "--run_dir", str(tmp_path)]) == 0
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    capsys.readouterr()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # a file may not grow beyond a page
        code = main(command)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == FAILURE
    assert "no space left" in capsys.readouterr().err
    assert not parts(tmp_path)
    assert not list(tmp_path.rglob("*.partial"))
    assert main(command) == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_scores_go_on_when_a_full_disk_has_room_again(
    corpus: list[str], scored: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = small_disk / "run"
    assert main(["prepare", *corpus, "--run_dir", str(run_dir)]) == 0
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 60_000))
    capsys.readouterr()
    assert main(["score", *corpus, *UNITS, "--run_dir", str(run_dir)]) == FAILURE
    assert "no space left" in capsys.readouterr().err
    kept = len(parts(run_dir))
    assert not list(run_dir.rglob("*.partial"))
    ballast.unlink()
    assert kept >= 1
    assert main(["score", *corpus, *UNITS, "--run_dir", str(run_dir)]) == 0
    assert (run_dir / SCORES).read_bytes() == (scored / SCORES).read_bytes()


def test_edge_scores_do_not_depend_on_who_made_them(corpus: list[str], thresholds: list[str], tmp_path: Path) -> None:
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    assert main(["discover", *corpus, *thresholds, *UNITS, "--unit_pairs", "8", "--run_dir", str(whole)]) == 0
    for _ in range(4):  # scores, points and the edge scores of two tasks: each turn gets one stage further
        for shard in ("0/2", "1/2"):
            assert (
                main(
                    [
                        "discover",
                        *corpus,
                        *thresholds,
                        *UNITS,
                        "--unit_pairs",
                        "8",
                        "--run_dir",
                        str(shared),
                        "--shard",
                        shard,
                    ]
                )
                == 0
            )
    for task in ("branch", "memorization"):
        name = Path(task) / "discover" / "edge_scores.safetensors"
        assert (shared / name).read_bytes() == (whole / name).read_bytes()


def is_actor(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return "ray::_Actor" in " ".join(process.cmdline())
    return False


def absent() -> None:
    raise FileNotFoundError("no model here")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "error", "said"),
    [
        (lambda: os._exit(1), ValueError, "a Ray actor cannot do its units"),
        (absent, FileNotFoundError, "no model here"),
    ],
)
def test_actors_that_always_die_or_cannot_load_end_with_the_reason(
    load: Callable[[], None], error: type[Exception], said: str, tmp_path: Path
) -> None:
    ray, parts = pytest.importorskip("ray"), Parts(tmp_path, {"units": 2})

    def worker() -> Callable[[int], pa.Table]:
        load()
        return lambda unit: pa.table({})

    try:
        with pytest.raises(error, match=said):
            run_units(parts, lambda unit: pa.table({}), worker, Execution("ray", workers=1), "score")
    finally:
        ray.shutdown()


PROCESSES = ["--executor", "processes", "--workers", "2"]


def test_two_processes_give_the_same_bytes(corpus: list[str], scored: Path, tmp_path: Path) -> None:
    assert main(["score", *corpus, *UNITS, "--run_dir", str(tmp_path), *PROCESSES]) == 0
    assert (tmp_path / SCORES).read_bytes() == (scored / SCORES).read_bytes()


def test_an_interruption_ends_the_processes_too(corpus: list[str], tmp_path: Path) -> None:
    fine = ["score", *corpus, "--unit_windows", "1", "--mem_batch_size", "1", "--run_dir", str(tmp_path), *PROCESSES]
    process = started(fine)
    until_parts(tmp_path, 2, process)
    helpers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "goes on from them" in said
    assert "Traceback" not in said
    assert len(helpers) >= 2
    assert not psutil.wait_procs(helpers, timeout=30)[1]
    assert 2 <= len(parts(tmp_path)) < 128


def test_ray_gives_the_same_bytes_though_an_actor_is_killed(corpus: list[str], scored: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    process = started(["score", *corpus, *UNITS, "--run_dir", str(tmp_path), "--executor", "ray", "--workers", "1"])
    until_parts(tmp_path, 1, process)
    found = [each for each in psutil.Process(process.pid).children(recursive=True) if is_actor(each)]
    for each in found:
        each.kill()
    process.communicate(timeout=300)
    assert process.returncode == 0
    assert found
    assert (tmp_path / SCORES).read_bytes() == (scored / SCORES).read_bytes()
