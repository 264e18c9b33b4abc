"""A run that is killed anywhere, by whatever signal, and gone on with leaves what a run that nobody killed leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.run.killing import STAGES

FEW = 4
MANY = int(os.environ.get("KILLS", "200"))


def killed(kills: int, seed: int, folder: Path, options: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.run.killing", str(kills), str(seed), str(folder), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(done.stdout)
    print(told)
    return told


def test_a_run_that_is_killed_and_gone_on_with_is_the_same(run_options: list[str], tmp_path: Path) -> None:
    told = killed(FEW, 0, tmp_path, run_options)
    assert not told["wrong"]
    assert sum(told["kills"].values()) >= FEW


@pytest.mark.slow
def test_a_run_that_is_killed_in_every_stage_is_the_same(run_options: list[str], tmp_path: Path) -> None:
    told = killed(MANY, 1, tmp_path, [*run_options, "--unit_windows", "32"])
    assert not told["wrong"]
    assert sum(told["kills"].values()) >= MANY
    stages = {name.split()[1] for name in told["kills"]}
    assert stages >= set(STAGES) - {"report"}
