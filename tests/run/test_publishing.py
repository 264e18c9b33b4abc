"""A run as a folder for others, and a page without text: nothing of the corpus in either, nor of this machine."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import memcirc.hub
from memcirc.attribution.scores import load_scores
from memcirc.circuit import Circuit
from memcirc.cli import main
from memcirc.pairs.file import load_pairs
from memcirc.published import INDEX
from memcirc.report.redaction import runs_of_words
from memcirc.run.publishing import STALE, publish
from memcirc.run.reading import Run
from tests.report.scanner import browsed, found, passages, told

NAME = "me/circuits"


@pytest.fixture(scope="module")
def run(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run in a place of its own."""
    folder = tmp_path_factory.mktemp("publishing") / "run"
    shutil.copytree(finished_run, folder)
    return folder


@pytest.fixture(scope="module")
def published(run: Path) -> Path:
    return publish(run, NAME)


def test_a_redacted_page_holds_no_passage_and_one_with_text_does(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = passages(run)
    assert len(known) > 1000
    assert main(["report", str(run), "--out", str(tmp_path / "page")]) == 0
    with_text = found(known, tmp_path / "page")
    assert {"report.html", "report.md", "tables/branch_distribution.json"} <= with_text.keys()
    assert any(name.endswith(".csv") for name in with_text)
    assert any(name.endswith(".tex") for name in with_text)
    page = tmp_path / "page" / "report.html"
    texts = browsed(page.read_text(encoding="utf-8"))
    assert any(words in known for text in texts for words in runs_of_words(text))
    (tmp_path / "page" / "tables" / "task_of_before_worst.csv").write_text("x", encoding="utf-8")
    capsys.readouterr()
    assert main(["report", str(run), "--out", str(tmp_path / "page"), "--redact"]) == 0
    printed = capsys.readouterr()
    assert found(known, tmp_path / "page", printed.out, printed.err) == {}
    assert not (tmp_path / "page" / "tables" / "task_of_before_worst.csv").exists()
    redacted = browsed(page.read_text(encoding="utf-8"))
    assert len(redacted) == len(texts)
    assert any("characters›" in text for text in redacted)
    assert "characters›" in (tmp_path / "page" / "tables" / "branch_distribution.json").read_text(encoding="utf-8")


def test_a_redacted_page_says_the_same_numbers(run: Path, tmp_path: Path) -> None:
    for options in ((), ("--redact",)):
        assert main(["report", str(run), "--out", str(tmp_path / f"page{len(options)}"), *options]) == 0
    tables = [sorted((tmp_path / f"page{n}" / "tables").iterdir()) for n in (0, 1)]
    assert [path.name for path in tables[0]] == [path.name for path in tables[1]]
    differ = {one.name for one, other in zip(*tables, strict=True) if one.read_bytes() != other.read_bytes()}
    for name in differ:
        assert name.endswith("_distribution.json") or "worst" in name, name
    assert {f"{task}_distribution.json" for task in Run(run).tasks} <= differ


def test_a_published_folder_holds_no_passage_and_no_place(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(run), NAME, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert found(passages(run), tmp_path / "out", printed.out, printed.err) == {}
    places = (str(run.parent), str(Run(run).config.model.model_name).rpartition("/")[0], str(Path.home()) + "/")
    for path in (path for path in (tmp_path / "out").rglob("*") if path.is_file()):
        for text in told(path):
            assert not [place for place in places if place in text], path


def test_a_published_folder_gives_the_runs_circuits_and_scores(run: Path, published: Path) -> None:
    assert published == run / "published" / "me--circuits"
    for task in Run(run).tasks:
        for mode in ("tree", "edge"):
            assert Circuit.from_pretrained(published, task, mode) == Run(run).circuit(task, mode)
        assert load_scores(published / task / "edge_scores.safetensors").values.equal(Run(run).edge_scores(task).values)
    assert {"README.md", "report.html", "report.md", "manifest.json", "config.json"} <= {
        path.name for path in published.iterdir()
    }


def test_the_card_has_front_matter_and_the_measured_numbers(run: Path, published: Path) -> None:
    text = (published / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "memcirc"
    assert "base_model" not in yaml.safe_load(front)  # a folder of this machine is none
    first = Run(run).verification("branch").faithfulness[0]
    assert (
        f"| branch | tree | resample | noising | {first.n_edges} | {first.n_pairs} | {first.faithfulness:.3f} |" in body
    )
    assert f'Circuit.from_pretrained("{NAME}", task="branch")' in body


def test_pairs_are_loadable_with_text_alone(run: Path, published: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no list 'prompts' in it"):
        load_pairs(published / "branch" / "pairs_redacted.json")
    folder = publish(run, NAME, tmp_path / "with_text", with_text=True)
    assert load_pairs(folder / "branch" / "pairs.json").fingerprint == Run(run).pairs("branch").fingerprint
    assert found(passages(run), folder).keys() >= {"report.html", "branch/pairs.json"}
    assert publish(run, NAME, tmp_path / "with_text") == folder  # made anew, of what it held nothing is left
    assert found(passages(run), folder) == {}
    assert not (folder / "branch" / "pairs.json").exists()


def test_a_folder_of_something_else_and_names_that_are_none_are_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(ValueError, match="holds other files; give --out a folder of its own"):
        publish(run, NAME, tmp_path)
    (tmp_path / "thesis.tex").unlink()
    (tmp_path / INDEX).write_text('{"name": "you/others", "circuits": []}', encoding="utf-8")
    with pytest.raises(ValueError, match="holds you/others; give --out a folder of its own"):
        publish(run, NAME, tmp_path)
    (tmp_path / ".git").mkdir()
    with pytest.raises(ValueError, match="holds a clone of a repository; give --out a folder of its own"):
        publish(run, NAME, tmp_path)
    (tmp_path / ".git").rmdir()
    for name in ("circuits", "a/b/c", "../x/y", "me/", "me/a b"):
        with pytest.raises(ValueError, match="is no name of a repository of the hub; accepted: OWNER/NAME"):
            publish(run, name)
    assert [path.name for path in tmp_path.iterdir()] == [INDEX]


class FakeHub:
    """The hub's client as far as uploading needs it, on a folder."""

    root: Path
    calls: list[str]

    def create_repo(self, name: str, repo_type: str, private: bool, exist_ok: bool) -> None:
        assert (repo_type, exist_ok) == ("model", True)
        self.calls.append(f"create {name}, private {private}")
        (self.root / name).mkdir(parents=True, exist_ok=True)

    def list_repo_files(self, name: str, repo_type: str) -> list[str]:
        return [str(path.relative_to(self.root / name)) for path in (self.root / name).rglob("*") if path.is_file()]

    def upload_folder(
        self, folder_path: Path, repo_id: str, repo_type: str, commit_message: str, delete_patterns: Sequence[str]
    ) -> None:
        for path in (path for pattern in delete_patterns for path in (self.root / repo_id).glob(pattern)):
            path.unlink()
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)
        self.calls.append(f"upload {repo_id}")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[FakeHub]:
    FakeHub.root, FakeHub.calls = tmp_path / "hub", []
    monkeypatch.setattr(memcirc.hub, "HfApi", FakeHub)
    return FakeHub


def test_nothing_is_uploaded_unless_it_is_asked_for(run: Path, tmp_path: Path, hub: type[FakeHub]) -> None:
    assert main(["publish", str(run), NAME, "--out", str(tmp_path / "out")]) == 0
    assert hub.calls == []
    assert main(["publish", str(run), NAME, "--out", str(tmp_path / "out"), "--upload", "--private"]) == 0
    assert hub.calls == [f"create {NAME}, private True", f"upload {NAME}"]


def test_what_is_uploaded_is_loaded_again_and_text_does_not_stay_there(
    run: Path, tmp_path: Path, hub: type[FakeHub]
) -> None:
    arguments = ["publish", str(run), NAME, "--out", str(tmp_path / "out"), "--upload"]
    assert main([*arguments, "--with_text"]) == 0
    there = hub.root / NAME
    assert (there / "branch" / "pairs.json").is_file()
    assert main(arguments) == 0
    assert found(passages(run), there) == {}
    assert Circuit.from_pretrained(there, "memorization") == Run(run).circuit("memorization", "tree")


def test_a_repository_of_something_else_is_left_alone(
    run: Path, tmp_path: Path, hub: type[FakeHub], capsys: pytest.CaptureFixture[str]
) -> None:
    (hub.root / NAME).mkdir(parents=True)
    (hub.root / NAME / "model.safetensors").write_bytes(b"x")
    assert main(["publish", str(run), NAME, "--out", str(tmp_path / "out"), "--upload"]) == 2
    assert "it holds model.safetensors and no memcirc.json, so it is of something else" in capsys.readouterr().err
    assert [path.name for path in (hub.root / NAME).iterdir()] == ["model.safetensors"]


def test_a_hub_that_does_not_answer_is_one_line(
    run: Path, tmp_path: Path, hub: type[FakeHub], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*given: Any, **options: Any) -> None:
        raise ConnectionError("no answer")

    monkeypatch.setattr(hub, "upload_folder", fails)
    assert main(["publish", str(run), NAME, "--out", str(tmp_path / "out"), "--upload"]) == 2
    assert f"'{NAME}': not uploaded (no answer); {tmp_path / 'out'} is ready for another try" in capsys.readouterr().err
    assert (tmp_path / "out" / "memcirc.json").is_file()


def test_every_stale_pattern_is_of_a_file_that_is_written(run: Path, tmp_path: Path) -> None:
    folders = [publish(run, NAME, tmp_path / str(text), with_text=text) for text in (False, True)]
    for pattern in STALE:
        assert any(list(folder.glob(pattern)) for folder in folders), pattern
    assert json.loads((folders[0] / "memcirc.json").read_text(encoding="utf-8"))["text"] is False
