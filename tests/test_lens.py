"""TransformerLens is imported where it is asked for, and by nobody else."""

import subprocess
import sys

import torch

from memcirc.lens import is_hooked
from tests.models import small_model

ENTRIES = "memcirc.run.pipeline, memcirc.patching.sweep, memcirc.verification.verify, memcirc.models"


def test_no_command_waits_for_its_import() -> None:
    code = f"import sys, {ENTRIES}; sys.exit('transformer_lens' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_model_is_known_by_its_class() -> None:
    model = small_model("gpt2")
    assert is_hooked(model.hooked)
    assert not is_hooked(model.hf)
    assert not is_hooked(torch.nn.Linear(1, 1))
