"""Units by processes: as one does them, also where a process dies, and what they raise."""

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from memcirc.artifacts import Changed
from memcirc.work import processes
from memcirc.work.config import Execution
from memcirc.work.executors import run_units
from memcirc.work.parts import Parts
from memcirc.work.processes import CREW, by_processes

Make = Callable[[int], pa.Table]
TWO = Execution("processes", workers=2)


def table(unit: int) -> pa.Table:
    return pa.table({"unit": [unit], "process": [os.getpid()], "threads": [os.environ["OMP_NUM_THREADS"]]})


def doing(make: Make) -> Make:
    return make


def dies_once(folder: Path, unit: int) -> pa.Table:
    """Unit 1 takes its first process with it."""
    mark = folder / "died"
    if unit == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return table(unit)


def dies(unit: int) -> pa.Table:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def finds_no_file(unit: int) -> pa.Table:
    raise FileNotFoundError("no file")


def has_changed(unit: int) -> pa.Table:
    raise Changed("as it was", ["key"])


def waits(unit: int) -> pa.Table:
    if unit == 1:
        signal.pause()
    return table(unit)


def opened(folder: Path, units: int) -> Parts:
    parts = Parts(folder / "parts", {"units": units})
    parts.open()
    return parts


def test_two_processes_of_one_thread_share_the_units_and_stay_for_the_next_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for stage in ("first", "second"):
        parts = opened(tmp_path / stage, 6)
        run_units(parts, table, partial(doing, table), TWO, stage)
        rows = pa.concat_tables(parts.tables()).to_pylist()
        assert [row["unit"] for row in rows] == list(range(6))
        assert {row["process"] for row in rows} == {helper.process.pid for helper in CREW}
        assert {row["threads"] for row in rows} == {"1"}
    assert "OMP_NUM_THREADS" not in os.environ
    assert len(CREW) == 2


def test_one_unit_is_done_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    parts = opened(tmp_path, 1)
    run_units(parts, table, partial(doing, table), TWO, "one")
    assert pa.concat_tables(parts.tables())["process"].to_pylist() == [os.getpid()]
    assert not CREW


def test_a_process_that_dies_is_replaced_and_its_unit_done_again(tmp_path: Path) -> None:
    parts = opened(tmp_path, 5)
    done = sorted(by_processes(parts, range(5), partial(doing, partial(dies_once, tmp_path)), 2))
    assert done == list(range(5))
    assert not parts.missing()
    assert (tmp_path / "died").exists()


def test_a_unit_that_kills_every_process_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "DEATHS", 1)
    with pytest.raises(ValueError, match=r"parts: processes die of unit \d \(memory\?\)"):
        list(by_processes(opened(tmp_path, 2), range(2), partial(doing, dies), 2))


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [(finds_no_file, FileNotFoundError, "no file"), (has_changed, ValueError, "as it was")],
)
def test_what_a_unit_raises_is_raised_here(make: Make, kind: type[Exception], message: str, tmp_path: Path) -> None:
    """Also an error that a pipe does not carry, in words."""
    with pytest.raises(kind, match=message):
        list(by_processes(opened(tmp_path, 3), range(3), partial(doing, make), 2))
    assert sorted(by_processes(opened(tmp_path / "next", 3), range(3), partial(doing, table), 2)) == [0, 1, 2]


def test_a_process_at_work_on_what_nobody_waits_for_is_ended(tmp_path: Path) -> None:
    work = by_processes(opened(tmp_path, 2), range(2), partial(doing, waits), 2)
    assert next(work) == 0
    before = [helper.process for helper in CREW]
    work.close()
    assert sum(process.is_alive() for process in before) == len(CREW) == 1
