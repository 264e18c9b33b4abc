"""What a published folder names is opened only where it lies within."""

import inspect
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memcirc.published
from memcirc.circuit import Circuit
from memcirc.graph import Graph, GraphShape
from memcirc.interop.mib import ScoredCircuit, save_circuit
from memcirc.published import INDEX, within
from tests.models import small_model

GRAPH = Graph(GraphShape(2, 2, 2))
TREE, EDGE = Circuit.from_edges(["input->logits"], model="m", mode="tree"), Circuit.from_edges(["m0->logits"])


def rows(**files: str) -> list[dict[str, str]]:
    return [{"task": name.partition("_")[0], "mode": name.partition("_")[2], "file": f} for name, f in files.items()]


def index(folder: Path, circuits: Any, form: int = 1) -> None:
    (folder / INDEX).write_text(json.dumps({"format": form, "circuits": circuits}), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "published"
    for name, circuit in (("branch/circuit.json", TREE), ("branch/circuit_edge.json", EDGE)):
        save_circuit(place / name, ScoredCircuit(GRAPH, circuit, torch.zeros(GRAPH.n_edges), 8))
    index(place, rows(branch_tree="branch/circuit.json", branch_edge="branch/circuit_edge.json"))
    return place


def test_a_folders_circuits_are_loaded_by_task_and_mode(folder: Path) -> None:
    assert Circuit.from_pretrained(folder) == Circuit.from_pretrained(str(folder), "branch", "tree") == TREE
    assert Circuit.from_pretrained(folder, mode="edge") == EDGE
    assert Circuit.from_pretrained(folder).origin["model"] == "m"
    with pytest.raises(ValueError, match=r"no circuit of task 'ioi'; accepted: branch \(tree\), branch"):
        Circuit.from_pretrained(folder, "ioi")


def test_a_circuit_of_another_model_is_refused_and_both_are_named(folder: Path) -> None:
    model = small_model("gpt2")
    with pytest.raises(ValueError, match=f"a circuit of model m, .*; the model at hand is {model.name}"):
        Circuit.from_pretrained(folder, model=model)


def test_what_is_no_folder_and_what_is_no_model_are_said(folder: Path) -> None:
    with pytest.raises(ValueError, match="a folder, or the name of a repository of the hub, is needed, not 3"):
        inspect.unwrap(Circuit.from_pretrained.__func__)(Circuit, 3)
    with pytest.raises(ValueError, match="model is 'tiny'; a loaded model is needed"):
        inspect.unwrap(Circuit.from_pretrained.__func__)(Circuit, folder, model="tiny")


OUTSIDE = ["../secret.json", "branch/../../secret.json", "/etc/passwd", "..", "", ".", r"branch\..\x", "C:/x", "a:b"]


@pytest.mark.parametrize("file", OUTSIDE)
def test_a_file_outside_is_refused(folder: Path, file: str) -> None:
    (folder.parent / "secret.json").write_text("{}", encoding="utf-8")
    index(folder, rows(branch_tree=file))
    with pytest.raises(ValueError, match="lies outside of it, or is a link; not opened"):
        Circuit.from_pretrained(folder)


@given(st.text("ab./\\:~", max_size=12))
def test_whatever_is_opened_lies_within(file: str) -> None:
    folder = Path("/folder")
    try:
        path = within(folder, file)
    except ValueError:
        return
    assert Path(os.path.normpath(path)).is_relative_to(folder)


@pytest.mark.parametrize("linked", ["branch/circuit.json", "branch", INDEX])
def test_a_link_is_refused_even_to_what_lies_within(folder: Path, tmp_path: Path, linked: str) -> None:
    (folder / linked).rename(folder / "kept")
    (folder / linked).symlink_to(folder / "kept")
    with pytest.raises(ValueError, match="is a link; not opened"):
        Circuit.from_pretrained(folder)


@pytest.mark.parametrize("content", [{}, {"circuits": "c.json"}, {"circuits": [{}]}])
def test_an_index_of_another_form_is_refused(folder: Path, content: Any) -> None:
    (folder / INDEX).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match="not an index of published circuits"):
        Circuit.from_pretrained(folder)


def test_what_is_no_such_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no memcirc\.json in it; `memcirc publish` makes such a folder"):
        Circuit.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="'me/none' is no folder here, and neither cached nor to be had"):
        Circuit.from_pretrained("me/none")


@pytest.fixture
def cached(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder as the hub's cache keeps it: a snapshot of links to blobs."""
    repository = tmp_path / "models--me--circuits"
    snapshot = repository / "snapshots" / "0123"
    (repository / "blobs").mkdir(parents=True)
    for number, path in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        blob, link = repository / "blobs" / str(number), snapshot / path.relative_to(folder)
        blob.write_bytes(path.read_bytes())
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(os.path.relpath(blob, link.parent)))
    monkeypatch.setattr(memcirc.published, "part_of_snapshot", lambda *given: snapshot)
    return snapshot


def test_a_repositorys_files_are_links_into_its_own_cache(cached: Path) -> None:
    assert Circuit.from_pretrained("me/circuits", mode="edge") == EDGE


def test_a_link_out_of_a_repositorys_cache_is_refused(cached: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}", encoding="utf-8")
    (cached / "branch" / "circuit.json").unlink()
    (cached / "branch" / "circuit.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(ValueError, match="lies outside of it"):
        Circuit.from_pretrained("me/circuits")
