"""The cache: the same again, another beside it, and nothing half made."""

import dataclasses
import hashlib
import json
import subprocess
import sys

import pytest

from memcirc.demo import building, ensure, ensure_null_twin
from memcirc.demo.cache import fingerprint_of


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "demo.json"
    }


def test_a_second_call_finds_what_the_first_has_made(demo, tiny, monkeypatch):
    monkeypatch.setattr(building, "build", lambda *_: pytest.fail("built again"))
    assert ensure(demo.folder.parent, config=tiny) == demo


def test_the_same_seed_gives_the_same_files_byte_for_byte(demo, tiny, tmp_path):
    assert contents(ensure(tmp_path, progress=False, config=tiny).folder) == contents(demo.folder)


def test_another_seed_gives_another_corpus_and_model_beside_it(tiny, tmp_path):
    zero, one = (ensure(tmp_path, seed=seed, progress=False, config=tiny) for seed in (0, 1))
    assert zero.corpus_path.read_text() != one.corpus_path.read_text()
    assert len(list(tmp_path.iterdir())) == 2


def test_whatever_determines_the_result_is_in_the_fingerprint(tiny, monkeypatch):
    before = fingerprint_of(tiny)
    assert fingerprint_of(dataclasses.replace(tiny, steps=7)) != before
    monkeypatch.setattr("memcirc.demo.cache.version", lambda name: "0")
    assert fingerprint_of(tiny) != before


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_build_leaves_nothing_and_the_next_one_works(tiny, tmp_path, monkeypatch, interruption):
    def interrupted(demo, progress):
        demo.corpus_path.write_text("half a li")
        raise interruption

    with monkeypatch.context() as patched:
        patched.setattr(building, "build", interrupted)
        with pytest.raises(interruption):
            ensure(tmp_path, config=tiny)
    assert not list(tmp_path.iterdir())
    assert ensure(tmp_path, progress=False, config=tiny).corpus_path.is_file()


def test_what_a_faster_process_has_made_stands(demo, tiny, tmp_path, monkeypatch):
    def overtaken(demo, progress):
        folder = tmp_path / f"demo-{fingerprint_of(tiny)}"
        folder.mkdir()
        (folder / "demo.json").write_text("the other one's")

    monkeypatch.setattr(building, "build", overtaken)
    found = ensure(tmp_path, config=tiny)
    assert (found.folder / "demo.json").read_text() == "the other one's"
    assert list(tmp_path.iterdir()) == [found.folder]


def test_the_record_says_what_was_made(demo):
    record = json.loads((demo.folder / "demo.json").read_text())
    assert record["fingerprint"] == demo.fingerprint
    assert record["config"]["families"] == demo.config.families
    assert (demo.prompt_tokens, demo.generation_tokens) == (32, 32)


def test_the_cache_holds_a_model_and_its_twin_with_what_each_has_learned(demo):
    names = {path.name for path in demo.folder.iterdir()}
    assert names >= {"corpus.jsonl", "twin.jsonl", "model", "twin", "demo.json"}
    model, twin = contents(demo.model_dir), contents(demo.twin_dir)
    assert model.keys() == twin.keys() >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert {name for name in model if model[name] != twin[name]} == {"model.safetensors"}


def test_the_null_twin_is_made_on_request_from_the_twins_lines_in_another_order(tiny, tmp_path, monkeypatch):
    demo = ensure(tmp_path, progress=False, config=tiny)
    folder = ensure_null_twin(demo, progress=False)
    assert folder.parent == demo.folder
    twin, null = contents(demo.twin_dir), contents(folder)
    assert {name for name in twin if twin[name] != null[name]} == {"model.safetensors"}

    monkeypatch.setattr(building, "build_null_twin", lambda *_: pytest.fail("built again"))
    assert ensure_null_twin(demo) == folder


def test_a_null_twin_in_the_twins_own_order_would_be_the_twin(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "OTHER_ORDER", 0)
    demo = ensure(tmp_path, progress=False, config=tiny)
    assert contents(ensure_null_twin(demo, progress=False)) == contents(demo.twin_dir)


def test_importing_the_package_loads_no_torch():
    code = "import memcirc.demo, sys; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
