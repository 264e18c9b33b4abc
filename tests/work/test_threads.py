"""Threads spin where the cores are free, sleep where others want them, and do as the environment has it."""

import os
from pathlib import Path

import pytest

from memcirc.work.threads import SPINS, VARIABLES, let_threads_wait

CORES = 8


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the form of Linux' own, on a machine of which two cores are ours."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that what is set in a test ends with it
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "cpu_count", lambda: CORES)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    return tmp_path / "loadavg"


@pytest.mark.parametrize(
    ("running", "spin"), [(1, True), (7, True), (8, False), (40, False)], ids=["alone", "room", "full", "crowd"]
)
def test_threads_spin_where_no_core_is_missing(told: Path, running: int, spin: bool) -> None:
    """Of eight cores two are ours: with six others there is room for all, with seven there is none."""
    told.write_text(f"0.70 1.57 1.71 {running}/345 1234\n")
    let_threads_wait(told)
    expected = {"GOMP_SPINCOUNT": SPINS} if spin else {"OMP_WAIT_POLICY": "PASSIVE"}
    assert {name: os.environ[name] for name in VARIABLES if name in os.environ} == expected


@pytest.mark.parametrize("content", [None, "", "0.1 0.1 0.1 many/few 3"])
def test_threads_sleep_where_nobody_tells(told: Path, content: str | None) -> None:
    if content is not None:
        told.write_text(content)
    let_threads_wait(told)
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert "GOMP_SPINCOUNT" not in os.environ


@pytest.mark.parametrize("name", VARIABLES)
def test_what_the_user_has_set_stays(told: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told.write_text("0.70 1.57 1.71 1/345 1234\n")
    monkeypatch.setenv(name, "ACTIVE")
    let_threads_wait(told)
    assert {each: os.environ.get(each) for each in VARIABLES} == {**dict.fromkeys(VARIABLES), name: "ACTIVE"}
