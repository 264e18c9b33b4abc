"""The study of latent thoughts: a user's model through an adapter, and (slow) the recipe with a known answer."""

import json
from pathlib import Path

import numpy as np
import pytest

from memcirc.cli import main
from memcirc.patching.patches import Patch
from memcirc.patching.program_runs import run_patched, run_program
from memcirc.patching.programs import at_step
from memcirc.studies.latent.study import expected_recovery
from memcirc.studies.latent.task import OPERATIONS, adapted

ADAPTER = """
import torch
from memcirc.patching.program_runs import run_program
from memcirc.patching.programs import identity
from memcirc.studies.latent.task import LatentTask
from tests.models import small_model


def make():
    model, generator = small_model("gpt2", dtype="float32"), torch.Generator().manual_seed(0)
    clean, corrupt = torch.randint(0, 31, (2, 12, 4), generator=generator).tolist()
    shared = dict(model=model, feed=identity, steps=3, after=(1,), clean=clean, corrupt=corrupt)
    guess = LatentTask(**shared, answers=[[0]] * 12, corrupt_answers=[[0]] * 12)
    said = run_program(model.weights, guess.program(clean)).generated.tolist()
    other = run_program(model.weights, guess.program(corrupt)).generated.tolist()
    return LatentTask(**shared, answers=said, corrupt_answers=other)
"""


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
    assert page.count("<script>") == 2  # sorts its tables, and tells the points of its figures
    assert page.count("<script type=") == page.count('class="read"')
    task = adapted(f"{tmp_path / 'mine.py'}:make")
    weights, program = task.model.weights, task.program(task.corrupt)
    base, source = (run_program(weights, given, ["resid_post"]) for given in (program, task.program(task.clean)))
    patch = Patch((at_step(program, "resid_post", 1, 2),))
    switched = (run_patched(base, source, [patch], "propagate").generated[0] == source.generated).all(-1)
    usable = (base.generated != source.generated).any(-1)
    (cell,) = [c for c in results["cells"] if (c["policy"], c["component"], c["layer"], c["step"]) ==
               ("propagate", "resid_post", 2, 1)]  # fmt: skip
    assert (cell["switched"], cell["n"]) == (int((switched & usable).sum()), int(usable.sum()))


@pytest.mark.slow
def test_the_recipe_with_a_known_answer(tmp_path: Path) -> None:
    assert main(["patch", "latent", "--run_dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "latent" / "results.json").read_text())
    assert results["accuracy"]["6"] >= 0.99
    assert all(results["accuracy"][str(k)] <= 0.2 for k in range(6))
    for name, expected in expected_recovery(OPERATIONS, 3).items():
        np.testing.assert_allclose(results["by_group"][name], expected, atol=0.05)


def test_what_the_small_tasks_recovery_must_be_by_hand() -> None:
    """Three steps, thoughts that differ from step 1 on: a clean vector brings the rest back from there."""
    expected = expected_recovery(3, 2)
    assert expected["propagate, latent_in"][1].tolist() == [0, 1, 1]
    assert expected["freeze_latents, latent_in"][1].tolist() == [0, 0, 1]
    assert expected["propagate, resid_post 1"][1].tolist() == [1, 1, 0]
    assert not expected["freeze_latents, resid_post 1"].any()
