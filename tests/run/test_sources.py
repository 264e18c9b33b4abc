"""A run notices when what it was made from is not what it was."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memcirc.cli import MISTAKE, main
from memcirc.demo import Demo


@pytest.fixture
def model_dir(miniature: Demo, tmp_path: Path) -> Path:
    return shutil.copytree(miniature.model_dir, tmp_path / "model")


@pytest.fixture
def data(miniature: Demo, tmp_path: Path) -> Path:
    """The miniature's corpus as a folder of two shards."""
    lines = miniature.corpus_path.read_text().splitlines(keepends=True)
    (tmp_path / "data").mkdir()
    for name, own in (("a.jsonl", lines[:100]), ("b.jsonl", lines[100:])):
        (tmp_path / "data" / name).write_text("".join(own))
    return tmp_path / "data"


@pytest.fixture
def prepare(model_dir: Path, data: Path, tmp_path: Path) -> list[str]:
    """A command that has been given once."""
    command = ["prepare", "--model_name", str(model_dir), "--dataset", str(data), "--prompt_tokens", "16",
               "--generation_tokens", "12", "--run_dir", str(tmp_path / "run")]  # fmt: skip
    assert main(command) == 0
    return command


def edited(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"a", b"e", 1))


def tokenizer_edited(path: Path) -> None:
    content = json.loads(path.read_text())
    content["model"]["merges"] = content["model"]["merges"][:-1]
    path.write_text(json.dumps(content))


CHANGES: dict[str, Callable[[Path, Path], object]] = {
    "data file b.jsonl was": lambda data, _: edited(data / "b.jsonl"),
    "data file c.txt was None": lambda data, _: (data / "c.txt").write_text("more"),
    "data file a.jsonl was '[0-9a-f]+', now None": lambda data, _: (data / "a.jsonl").unlink(),
    "tokenizer_files was": lambda _, model: tokenizer_edited(model / "tokenizer.json"),
}


@pytest.mark.parametrize("message", CHANGES)
def test_another_source_is_refused_and_forced(
    prepare: list[str], data: Path, model_dir: Path, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    CHANGES[message](data, model_dir)
    capsys.readouterr()
    assert main(prepare) == MISTAKE
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(f"{message}.*; choose another --run_dir, or --force", line)
    assert main([*prepare, "--force"]) == 0
    assert main(prepare) == 0
    assert "windows: done before" in capsys.readouterr().err


def test_what_is_passed_over_is_said_and_changes_nothing(
    prepare: list[str], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / ".a.jsonl.swp").touch()
    (data / "notes.md").touch()
    capsys.readouterr()
    assert main(prepare) == 0
    assert "windows: done before" in capsys.readouterr().err
    assert main([*prepare, "--force"]) == 0
    said = capsys.readouterr().err
    assert "windows: passed over, hidden: 1 (.a.jsonl.swp)" in said
    assert "windows: passed over, of another format: 1 (notes.md)" in said


def test_windows_outlive_their_corpus(prepare: list[str], data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(data)
    capsys.readouterr()
    assert main(prepare) == 0
    assert "is not there any more; whether it had changed is not known" in capsys.readouterr().err
    assert main([*prepare, "--force"]) == MISTAKE


def test_another_configuration_of_the_model_is_refused(
    prepare: list[str], model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["score", *prepare[1:], "--level", "exact"]
    assert main(command) == 0
    content = json.loads((model_dir / "config.json").read_text())
    (model_dir / "config.json").write_text(json.dumps({**content, "layer_norm_epsilon": 1e-3}))
    capsys.readouterr()
    assert main(command) == MISTAKE
    assert "score was made with another configuration: weights was" in capsys.readouterr().err
