"""Files of the version before are read, those of a newer one are refused by name; ``stored/`` keeps a file of each."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from memcirc import Run, load_circuit, load_pairs, load_scores
from memcirc.artifacts import Marker, read_json
from memcirc.cli import main
from memcirc.schema import SCHEMA, VERSION, NewerFile, check_schema
from memcirc.verification.result import Verification

OLDER = Path(__file__).parent / "stored" / "version_1"
READERS: dict[str, Callable[[Path], Any]] = {
    "pairs.json": load_pairs,
    "circuit.json": load_circuit,
    "edge_scores.safetensors": load_scores,
    "done.json": Marker.read,
    "verification.json": lambda path: Verification.from_json(read_json(path)),
}


def of_version(path: Path, version: Any) -> None:
    """Make a file say that it is of a version."""
    if path.suffix == ".json":
        path.write_text(json.dumps(read_json(path) | {SCHEMA: version}), encoding="utf-8")
        return
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]["memcirc"])
    save_file(load_file(path), path, metadata={"memcirc": json.dumps(header | {SCHEMA: version})})


def test_there_is_a_file_of_every_kind_and_none_states_a_version() -> None:
    assert {path.name for path in OLDER.iterdir()} == READERS.keys()
    assert not any(b'"schema"' in path.read_bytes() for path in OLDER.iterdir())


def test_files_of_the_version_before_say_what_they_said() -> None:
    pairs, scores = load_pairs(OLDER / "pairs.json"), load_scores(OLDER / "edge_scores.safetensors")
    circuit, graph = load_circuit(OLDER / "circuit.json")
    assert pairs.header["model"] == scores.origin["model"] == circuit.origin["model"]
    assert graph == scores.graph
    assert circuit.edges == scores.top(len(circuit)).edges
    verification = READERS["verification.json"](OLDER / "verification.json")
    assert verification.faithfulness[0].n_edges > 0
    assert Marker.read(OLDER / "done.json").config["method"] == "mask-ig"


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("version", "said"),
    [(VERSION + 1, f"newer memcirc, as version {VERSION + 1} .* reads up to {VERSION}: update"), ("2", "no count"),
     (True, "no count"), (0, "no count")],
)  # fmt: skip
def test_a_newer_files_version_is_named(name: str, version: Any, said: str, tmp_path: Path) -> None:
    shutil.copy(OLDER / name, tmp_path)
    of_version(tmp_path / name, version)
    with pytest.raises(ValueError, match=said):
        READERS[name](tmp_path / name)


def test_what_is_written_states_the_version(finished_run: Path) -> None:
    stage = finished_run / "memorization"
    written = ("pairs/pairs.json", "verify/verification.json", "discover/circuit*.json")
    for path in (*finished_run.rglob("done.json"), *(path for name in written for path in stage.glob(name))):
        assert read_json(path)[SCHEMA] == VERSION
        check_schema(read_json(path), path)


def test_a_newer_run_is_neither_read_nor_made_anew(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page is made of its other stages."""
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    marker = copy / "branch" / "discover" / "done.json"
    of_version(marker, VERSION + 1)
    newer = marker.read_bytes()
    with pytest.raises(NewerFile):
        Run(copy).circuit("branch")
    assert main(["discover", "--run_dir", str(copy)]) == 2
    assert "update memcirc" in capsys.readouterr().err
    assert marker.read_bytes() == newer
    assert main(["report", "--run_dir", str(copy)]) == 0
    page = (copy / "report" / "report.md").read_text(encoding="utf-8")
    assert "Missing: task branch" in page
    assert "update memcirc" in page
