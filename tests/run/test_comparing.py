"""Two runs side by side: what differs is named, edges of one alone are listed, intervals that touch are not apart."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcirc.artifacts import file_hash, read_json, write_json
from memcirc.circuit import Circuit
from memcirc.cli import main
from memcirc.graph import Graph, GraphShape
from memcirc.run import comparing
from memcirc.run.comparing import Interval, compare, overlap
from memcirc.run.reading import Run

EDGES = Graph(GraphShape(1, 2, 2)).edges
SOME = st.sets(st.sampled_from(EDGES))


@given(SOME, SOME)
def test_an_overlap_counts_every_edge_once(first: set[str], second: set[str]) -> None:
    found = overlap("branch", "tree", Circuit.from_edges(first), Circuit.from_edges(second))
    assert (set(found.only_first), set(found.only_second)) == (first - second, second - first)
    assert found.shared + len(found.only_first) == found.first == len(first)
    assert found.shared + len(found.only_second) == found.second == len(second)
    assert found.jaccard == (len(first & second) / len(first | second) if first | second else 1.0)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0.5, 0.4, 0.6), (0.9, 0.8, 1.0), True),
        ((0.5, 0.4, 0.6), (0.6, 0.6, 1.0), False),
        ((0.9, 0.8, 1.0), (0.5, 0.4, 0.6), True),
        ((0.5, None, None), (0.9, 0.8, 1.0), None),
    ],
)
def test_intervals_are_apart_where_they_do_not_touch(first: Interval, second: Interval, expected: bool | None) -> None:
    assert comparing._apart(first, second) is expected


@pytest.fixture
def changed(finished_run: Path, tmp_path: Path) -> Path:
    """The same run, its page and transfer left out, with another target in its configuration."""
    folder = tmp_path / "changed"
    shutil.copytree(finished_run, folder, ignore=shutil.ignore_patterns("report", "transfer"))
    for path in (folder / "config.yaml", *folder.glob("*/discover/done.json")):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("target: 0.85", "target: 0.8").replace('"target": 0.85', '"target": 0.8'))
    return folder


def test_what_differs_is_named_and_the_rest_is_the_same(
    finished_run: Path, changed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["compare", str(finished_run), str(changed), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["configuration"] == ["discover.target was 0.85, now 0.8"]
    assert told["absent"] == []
    for row in told["data"]:
        assert row["first"] == row["second"] == row["shared"]
        assert row["same"]
    assert {(row["task"], row["mode"], row["jaccard"]) for row in told["circuits"]} == {
        (task, mode, 1.0) for task in ("branch", "memorization") for mode in ("tree", "edge")
    }
    measured = [row for row in told["numbers"] if row["number"] == "faithfulness"]
    of_branch = Run(finished_run).verification("branch").faithfulness
    assert [row["first"] for row in measured if row["task"] == "branch"] == [row.faithfulness for row in of_branch]
    assert all(row["first"] == row["second"] and not row["apart"] for row in told["numbers"])
    assert main(["compare", str(finished_run), str(changed)]) == 0
    text = capsys.readouterr().out
    for word in ("discover.target was 0.85, now 0.8", "jaccard", "tree, resample, noising, logit_diff"):
        assert word in text


def test_a_task_of_one_run_alone_is_named(finished_run: Path, changed: Path) -> None:
    shutil.rmtree(changed / "memorization" / "verify")
    found = compare(finished_run, changed)
    assert found.absent == (f"memorization: {changed} has no verification of it",)
    assert {row.task for row in found.numbers} == {"branch"}


def test_circuits_of_two_graphs_are_refused_and_both_models_named(finished_run: Path, changed: Path) -> None:
    for path in changed.glob("*/discover/circuit*.json"):
        content = read_json(path)
        content["cfg"]["n_layers"] = 3
        content["memcirc"]["model"] = "another"
        write_json(path, content)
        marker = read_json(path.parent / "done.json")
        marker["outputs"][path.name] = file_hash(path)
        write_json(path.parent / "done.json", marker)
    with pytest.raises(ValueError, match=r"a circuit of model .*, .* one of model another .*not the same graph"):
        compare(finished_run, changed)


def test_a_folder_without_a_run_is_refused(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(finished_run), str(tmp_path)]) == 2
    assert "no run in" in capsys.readouterr().err


def test_edges_of_one_alone_are_listed_and_of_many_the_first() -> None:
    edges = [f"m{layer}->logits" for layer in range(comparing.LISTED + 4)]
    row = overlap("branch", "tree", Circuit.from_edges(edges), Circuit.from_edges(edges[:1]))
    (line,) = comparing._alone(row)
    assert line.startswith("branch, tree, first alone: m1->logits m10->logits ")
    assert line.endswith(" and 3 more")
