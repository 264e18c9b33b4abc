"""The cache of a real model with planted passages: found again, continued where it stopped, and to the same weights."""

import dataclasses
import hashlib
import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from memcirc.demo.real import building, ensure_real, training
from memcirc.demo.real.ensuring import DECIDING, fingerprint_of
from memcirc.work.locks import at_work


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_all_parts_are_there_and_nothing_else(real):
    names = {path.name for path in real.folder.iterdir()}
    assert names - {".lock"} == {
        "shipped", "model", "twin", "corpus.jsonl", "twin.jsonl", "held-out.jsonl", "real.json"
    }  # fmt: skip
    assert (real.prompt_tokens, real.generation_tokens) == (32, 32)
    assert json.loads(real.record_path.read_text())["fingerprint"] == real.fingerprint


def test_the_three_models_differ_in_nothing_but_their_weights(real):
    shipped, model, twin = (contents(folder) for folder in (real.shipped_dir, real.model_dir, real.twin_dir))
    for one, other in ((shipped, model), (model, twin)):
        assert {name for name in one | other if one.get(name) != other.get(name)} == {"model.safetensors"}


def test_the_folders_are_ordinary_ones_in_float32(real):
    model = AutoModelForCausalLM.from_pretrained(real.model_dir)
    assert model.config.model_type == "llama"
    assert model.dtype == torch.float32
    assert not hasattr(model.config, "quantization_config")
    assert len(AutoTokenizer.from_pretrained(real.twin_dir)) == 320


def test_a_second_call_finds_what_the_first_has_made(real, tiny_real, shipped, monkeypatch):
    monkeypatch.setattr(building, "build", lambda *_: pytest.fail("built again"))
    assert ensure_real(real.folder.parent, config=tiny_real, shipped=shipped) == real


@pytest.mark.usefixtures("with_little_to_read")
@pytest.mark.parametrize("stops_at", [1, 3, 5, 8, 12])
def test_an_interrupted_training_goes_on_to_the_same_files(real, tiny_real, shipped, tmp_path, monkeypatch, stops_at):
    made = []

    def interrupted(logits, targets):
        made.append(1)
        if len(made) == stops_at:
            raise KeyboardInterrupt
        return torch.nn.functional.cross_entropy(logits, targets)

    with monkeypatch.context() as patched:
        patched.setattr(training, "cross_entropy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ensure_real(tmp_path, progress=False, config=tiny_real, shipped=shipped)
    steps = []
    monkeypatch.setattr(
        training, "cross_entropy", lambda *given: steps.append(1) or torch.nn.functional.cross_entropy(*given)
    )
    assert contents(ensure_real(tmp_path, progress=False, config=tiny_real, shipped=shipped).folder) == contents(
        real.folder
    )
    lost = (stops_at - 1) % tiny_real.steps % tiny_real.checkpoint_every
    assert len(steps) == 2 * tiny_real.steps - (stops_at - 1) + lost


def test_whatever_determines_the_result_is_in_the_fingerprint(tiny_real, shipped, real, monkeypatch):
    before = fingerprint_of(tiny_real, shipped)
    assert fingerprint_of(dataclasses.replace(tiny_real, seed=7), shipped) != before
    assert fingerprint_of(tiny_real, real.model_dir) != before
    monkeypatch.setattr("memcirc.demo.real.ensuring.DECIDING", DECIDING[1:])
    assert fingerprint_of(tiny_real, shipped) != before


def test_two_processes_do_not_train_the_same(tiny_real, shipped, tmp_path):
    folder = tmp_path / f"real-{fingerprint_of(tiny_real, shipped)}"
    with at_work(folder), pytest.raises(ValueError, match="at work"):
        ensure_real(tmp_path, progress=False, config=tiny_real, shipped=shipped)


def test_importing_the_package_loads_no_torch():
    code = "import memcirc.demo.real, sys; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
