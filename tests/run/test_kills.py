"""A run that is killed anywhere, by whatever signal, and gone on with leaves what a run that nobody killed leaves."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.run.killing import SIGNALS, STAGES

FEW = 4
MANY = int(os.environ.get("KILLS", "200"))


def killed(kills: int, seed: int, folder: Path, options: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.run.killing", str(kills), str(seed), str(folder), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_run_that_is_killed_and_gone_on_with_is_the_same(run_options: list[str], tmp_path: Path) -> None:
    told = killed(FEW, 0, tmp_path, run_options)
    assert not told["wrong"]
    assert sum(told["kills"].values()) >= FEW


@pytest.mark.slow
def test_a_run_that_is_killed_in_every_stage_is_the_same(
    run_options: list[str], tmp_path: Path, count: Callable[[str], None]
) -> None:
    told = killed(MANY, 1, tmp_path, [*run_options, "--unit_windows", "32"])
    each = ", ".join(f"{n} {name}" for name, n in sorted(told["kills"].items()))
    count(f"{sum(told['kills'].values())} kills survived in {told['runs']} runs ({each}); "
          f"files that differ: {len(told['wrong'])}")  # fmt: skip
    assert not told["wrong"]
    assert sum(told["kills"].values()) >= MANY
    sent, stages = ({name.split(maxsplit=1)[i] for name in told["kills"]} for i in (0, 1))
    assert stages >= set(STAGES) - {"report"}
    assert sent == {each.name for each in SIGNALS}
