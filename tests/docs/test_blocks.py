"""Every block of Python on a page runs, in the order of the page and in one namespace, where a demo's run lies; every
command is one that the real parser, the Makefile or the folders know, and those that read a run are run."""

import os
import re
import runpy
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import yaml

from memcirc.artifacts import read_json
from memcirc.cli import main, parser
from memcirc.demo import Demo
from memcirc.interventions import MODES
from memcirc.run.reading import Run
from tests.docs.blocks import PAGES, ROOT, blocks, commands, named

READERS = ("export", "report", "doctor")


@pytest.fixture(scope="module")
def demo_folder(miniature: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make demo`` leaves, small: ``runs/cache/demo-.../`` and ``runs/demo`` in a folder."""
    folder = tmp_path_factory.mktemp("reader")
    cache = folder / "runs" / "cache"
    cache.mkdir(parents=True)
    (cache / miniature.folder.name).symlink_to(miniature.folder)
    place = f"runs/cache/{miniature.folder.name}"
    options = [
        "--model_name", f"{place}/model", "--twin_name", f"{place}/twin", "--dataset", f"{place}/corpus.jsonl",
        "--prompt_tokens", "16", "--generation_tokens", "12", "--threshold", "0.6", "--low_threshold", "0.3",
        "--random_circuits", "10", "--curve_points", "5", "--resamples", "100", "--device", "cpu",
        "--checks", "faithfulness,curve,random,removal",
    ]  # fmt: skip
    here = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["run", *options, "--run_dir", "runs/demo"]) == 0
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def at_the_readers(demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with the demo's run in it."""
    (tmp_path / "runs").symlink_to(demo_folder / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def eap(monkeypatch: pytest.MonkeyPatch) -> None:
    """EAP-IG, which is not among what tests install: its ``Graph`` as far as it reads a file, node by node and edge by
    edge, by name."""

    class Graph:
        def __init__(self, content: dict[str, Any]) -> None:
            self.cfg = content["cfg"]
            self.nodes = {name: types.SimpleNamespace(in_graph=n["in_graph"]) for name, n in content["nodes"].items()}
            self.edges = {
                name: types.SimpleNamespace(score=edge["score"], in_graph=edge["in_graph"])
                for name, edge in content["edges"].items()
            }

        @classmethod
        def from_json(cls, path: str) -> "Graph":
            return cls(read_json(Path(path)))

        def count_included_edges(self) -> int:
            return sum(edge.in_graph for edge in self.edges.values())

    module = types.ModuleType("eap.graph")
    module.Graph = Graph  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "eap", types.ModuleType("eap"))
    monkeypatch.setitem(sys.modules, "eap.graph", module)


@pytest.mark.usefixtures("at_the_readers", "eap")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=named)
def test_the_python_of_a_page_runs(page: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, code in enumerate(blocks(page, "python"), start=1):
        exec(compile(code, f"{named(page)}, block {number}", "exec"), namespace)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=named)
def test_the_commands_of_a_page_are_known(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for words in commands(page):
        _check(words, targets)


def _check(words: list[str], targets: set[str]) -> None:
    program, *rest = words
    if program == "memcirc":
        parser().parse_args(rest)
    elif program == "make":
        assert set(rest) <= targets, words
    elif program.startswith(("pipeline/", "verify_scripts/")):
        assert (ROOT / program).is_file(), words
    elif program == "sbatch":
        script = next(i for i, word in enumerate(rest) if not word.startswith("--"))
        assert (ROOT / rest[script]).is_file(), words
        parser().parse_args(["score", *rest[script + 1 :]])
    elif program in ("srun", "torchrun"):
        _check(rest[rest.index("memcirc") :], targets)
    else:
        assert program in ("pip", "source", "git", "cd"), words


@pytest.mark.usefixtures("at_the_readers")
def test_commands_that_only_read_a_run_do(capsys: pytest.CaptureFixture[str]) -> None:
    said = {tuple(words[1:]) for page in PAGES for words in commands(page) if words[0] == "memcirc"}
    ready = {words for words in said if words[0] in READERS and ("runs/demo" in words or len(words) == 1)}
    assert {words[0] for words in ready} >= {"report", "export"}
    for words in sorted(ready):
        assert main(list(words)) == 0, (words, capsys.readouterr().err)


@pytest.mark.usefixtures("at_the_readers")
def test_the_readmes_picture_is_made_of_a_run(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "docs" / "making" / "picture.py"))
    script["main"]("runs/demo", tmp_path)
    told = read_json(tmp_path / "demo.json")
    assert told["circuits"].keys() == {f"{task}, {mode}" for task in Run("runs/demo").tasks for mode in MODES}
    assert told["taken_out"]["memorized"]["passages"] > 0
    assert (
        f"The necessary circuit: {told['circuits']['learned, edge']['edges']} of" in (tmp_path / "demo.svg").read_text()
    )


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "json") + blocks(page, "yaml")], ids=named)
def test_the_data_of_a_page_can_be_read(page: Path) -> None:
    for code in blocks(page, "json") + blocks(page, "yaml"):
        assert yaml.safe_load(code)  # JSON is YAML
