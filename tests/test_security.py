"""What SECURITY.md promises of the source itself; the other promises are held by the tests that it names."""

import ast
import json
import os
import re
from pathlib import Path

import pytest
from transformers import GPT2Config

from memcirc.checkpoints import weight_files
from memcirc.cli import MISTAKE, main
from memcirc.run.reading import Run

ROOT = Path(__file__).parent.parent
FORBIDDEN = ("pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal")
CALLS = ("eval", "exec", "compile", "__import__", "system", "popen", "unsafe_load", "full_load", "extractall")
SOURCES = [path for folder in ("memcirc", "pipeline") for path in sorted((ROOT / folder).rglob("*.py"))]


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_no_module_imports_what_unpickles() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & set(FORBIDDEN), path


def test_torch_loads_weights_only_and_yaml_safely() -> None:
    found = 0
    for path in SOURCES:
        for call in calls(path):
            owner = getattr(getattr(call.func, "value", None), "id", "")
            if (owner, name_of(call)) == ("torch", "load"):
                found += 1
                said = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
                assert said.get("weights_only") is True, path
            if owner == "yaml":
                assert name_of(call) in ("safe_load", "safe_dump", "add_representer"), path
            if owner == "np" and name_of(call) == "load":
                assert "allow_pickle" not in {word.arg for word in call.keywords}, path
    assert found


def test_nothing_is_evaluated_and_no_shell_is_asked() -> None:
    for path in SOURCES:
        for call in calls(path):
            bare = isinstance(call.func, ast.Name) or getattr(getattr(call.func, "value", None), "id", "") == "os"
            assert not (bare and name_of(call) in CALLS), (path, call.lineno)
            said = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
            assert not said.get("shell"), path
            assert said.get("trust_remote_code", False) is False, path


@pytest.mark.parametrize("name", ["../outside.bin", "/tmp/outside.bin", "a/../../outside.bin"])
def test_an_index_that_names_files_outside_its_folder_is_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    GPT2Config().save_pretrained(folder)
    (tmp_path / "outside.bin").write_bytes(b"x")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"wte.weight": name}}))
    with pytest.raises(ValueError, match="which is not in its folder"):
        weight_files(folder)


def test_a_name_that_leads_out_of_the_run_is_no_task(finished_run: Path, tmp_path: Path) -> None:
    for task in ("../miniature/branch", "branch/../../x", str(finished_run / "branch"), "branch@../../x"):
        with pytest.raises((ValueError, FileNotFoundError)):
            Run(finished_run).pairs(task)
    assert main(["export", str(finished_run), "--format", "csv", "--task", "../branch"]) == MISTAKE


def test_a_token_of_the_hub_is_never_printed_or_kept(
    run_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = "hf_" + "aB3dE6gH9jK2" * 3
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN"):
        monkeypatch.setitem(os.environ, name, token)
    assert main(["doctor"]) == 0
    assert main(["run", *run_options, "--model_name", "nobody/nothing", "--run_dir", str(tmp_path / "a")]) == MISTAKE
    assert main(["prepare", *run_options[:8], "--run_dir", str(tmp_path / "b")]) == 0
    said = capsys.readouterr()
    assert token not in said.out + said.err
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) > 3
    assert not [path for path in kept if token.encode() in path.read_bytes()]


def test_every_promise_names_a_test_that_there_is() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    promises = [line for line in text.splitlines() if line.startswith("| ") and "tests/" in line]
    assert len(promises) >= 8
    for line in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", line)
        assert named, line
        for path, test in named:
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), (path, test)
