"""The study of latent thoughts: its arithmetic, a user's model through an adapter, the recipe with a known answer."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from memcirc.cli import main
from memcirc.statistics import wilson
from memcirc.studies.latent.outcomes import sample_size
from memcirc.studies.latent.study import expected_recovery
from memcirc.studies.latent.task import OPERATIONS, adapted, drawn_pair, question

ADAPTER = """
import torch
from memcirc.engine.weights import weights_of
from memcirc.patching.program_runs import run_program
from memcirc.patching.programs import identity
from memcirc.studies.latent.task import LatentTask
from tests.models import small_model


def make():
    model, generator = small_model("gpt2", dtype="float32"), torch.Generator().manual_seed(0)
    clean, corrupt = torch.randint(0, 31, (2, 12, 4), generator=generator).tolist()
    shared = dict(model=model, feed=identity, steps=3, after=(1,), clean=clean, corrupt=corrupt)
    guess = LatentTask(**shared, answers=[[0]] * 12, corrupt_answers=[[0]] * 12)
    said = run_program(weights_of(model), guess.program(clean)).generated.tolist()
    other = run_program(weights_of(model), guess.program(corrupt)).generated.tolist()
    return LatentTask(**shared, answers=said, corrupt_answers=other)
"""


def test_questions_are_worked_out() -> None:
    """3, +4 = 7, 9 - 7 = 2, +0 = 2, 1 - 2 = 9, +9 = 8, 8 - 8 = 0."""
    assert question(3, [14, 29, 10, 21, 19, 28]).results == (7, 2, 2, 9, 8, 0)


@pytest.mark.parametrize("step", range(OPERATIONS))
def test_thoughts_of_a_pair_differ_from_the_step_on_and_not_before(step: int) -> None:
    clean, corrupt = drawn_pair(random.Random(step), step)
    same = [a == b for a, b in zip(clean.results, corrupt.results, strict=True)]
    assert same == [True] * step + [False] * (OPERATIONS - step)
    assert sum(a != b for a, b in zip(clean.ids, corrupt.ids, strict=True)) == 1


@pytest.mark.parametrize(("share", "half"), [(0.5, 0.05), (0.1, 0.02), (0.0, 0.05), (1.0, 0.1)])
def test_the_sample_size_is_the_smallest_that_is_precise_enough(share: float, half: float) -> None:
    n = sample_size(share, half)
    z = 1.959964
    widths = [
        z * np.sqrt(share * (1 - share) / m + z * z / (4 * m * m)) / (1 + z * z / m) for m in (n, n - 1)
    ]  # fmt: skip
    assert widths[0] <= half < widths[1]
    low, high = wilson(round(share * n), n)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)


def test_a_model_of_ones_own_runs_through_an_adapter(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ADAPTER)
    assert (
        main(["patch", "latent", "--adapter", f"{tmp_path / 'mine.py'}:make", "--run_dir", str(tmp_path / "run")]) == 0
    )
    results = json.loads((tmp_path / "run" / "latent" / "results.json").read_text())
    assert results["accuracy"]["3"] == 1.0
    assert results["partition"]["clean right, corrupt wrong"] + results["partition"]["clean right, corrupt right"] == 12
    fed = [c for c in results["cells"] if c["component"] == "latent_in"]
    assert len(fed) == 6
    assert all(c["switched"] + c["stayed"] + c["third"] == c["n"] for c in results["cells"])
    page = (tmp_path / "run" / "report" / "report.html").read_text()
    assert "Layers and steps" in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ("nowhere.py:make", "no adapter file at nowhere.py"),
        ("{data}:make", "is no .py file"),
        ("{mine}:wake", "has no function 'wake'"),
        ("{mine}:number", "returned a int; a LatentTask is needed"),
    ],
)
def test_an_adapter_that_is_none_is_refused(adapter: str, message: str, tmp_path: Path) -> None:
    mine, data = tmp_path / "mine.py", tmp_path / "mine.json"
    mine.write_text("def number():\n    return 3\n")
    data.write_text("{}")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        adapted(adapter.format(mine=mine, data=data))


@pytest.mark.slow
def test_the_recipe_with_a_known_answer(tmp_path: Path) -> None:
    assert main(["patch", "latent", "--run_dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "latent" / "results.json").read_text())
    assert results["accuracy"]["6"] >= 0.99
    assert all(results["accuracy"][str(k)] <= 0.2 for k in range(6))
    for name, expected in expected_recovery(OPERATIONS, 3).items():
        np.testing.assert_allclose(results["by_group"][name], expected, atol=0.05)
