"""MIB's nine circuits: the sizes its evaluation takes, one ranking, and a folder with nothing else in it."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from memcirc.circuit import Circuit
from memcirc.cli import main
from memcirc.graph import Graph, GraphShape
from memcirc.interop.mib import ScoredCircuit
from memcirc.interop.reading import load_circuit, read_scored
from memcirc.run.reading import Run
from memcirc.run.submission import SHARES, nine_circuits, write_submission

REQUIRED = {"cfg", "src_nodes", "dst_nodes", "edges_in_graph", "nodes_in_graph"}
"""What MIB's reader of a circuit asks for."""


def submitted(run: Path, folder: Path) -> list[Path]:
    arguments = ["export", str(run), "--task", "branch", "--format", "mib-submission", "--out", str(folder)]
    assert main(arguments) == 0
    return sorted(folder.iterdir(), key=lambda path: float(path.stem.removeprefix("edges_")))


def test_nine_prefixes_of_one_ranking(finished_run: Path, tmp_path: Path) -> None:
    files = submitted(finished_run, tmp_path / "ioi_gpt2")
    assert len(files) == 9
    scores = Run(finished_run).edge_scores("branch")
    sizes = [int(share * scores.graph.n_edges) for share in SHARES]
    for path, size in zip(files, sizes, strict=True):
        content = torch.load(path, weights_only=True)
        assert content.keys() >= REQUIRED
        assert content["edges_in_graph"].dtype == content["nodes_in_graph"].dtype == torch.bool
        assert int(content["edges_in_graph"].sum()) == size <= float(path.stem[6:]) * scores.graph.n_edges
        assert load_circuit(path)[0] == scores.top(size)


@pytest.mark.skipif(importlib.util.find_spec("eap") is None, reason="EAP-IG is not installed")
def test_the_reader_of_mib_counts_their_edges(finished_run: Path, tmp_path: Path) -> None:
    theirs: Any = importlib.import_module("eap.graph").Graph
    counts = [theirs.from_pt(path).count_included_edges() for path in submitted(finished_run, tmp_path / "ioi_gpt2")]
    assert counts == [int(share * Run(finished_run).edge_scores("branch").graph.n_edges) for share in SHARES]


def test_a_greedy_circuit_is_submitted_by_its_own_ranking(finished_run: Path) -> None:
    run = Run(finished_run)
    scored, scores = read_scored(run.circuit_file("branch", "tree")), run.edge_scores("branch")
    greedy = ScoredCircuit(scored.graph, scores.greedy(3), scored.scores, 8)
    assert [part.circuit for part in nine_circuits(greedy)] == [
        scores.greedy(int(share * scores.graph.n_edges)) for share in SHARES
    ]


def test_a_folder_with_other_files_is_refused(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "circuit.json").write_text("{}", encoding="utf-8")
    scored = read_scored(Run(finished_run).circuit_file("branch", "tree"))
    with pytest.raises(ValueError, match=r"holds circuit\.json; a submission has a folder of its own"):
        write_submission(scored, tmp_path)


def test_a_graph_without_a_place_there_is_refused(tmp_path: Path) -> None:
    graph = Graph(GraphShape(1, 4, 2))
    scored = ScoredCircuit(graph, Circuit.from_edges([]), torch.ones(graph.n_edges), 8)
    with pytest.raises(ValueError, match="has no place in MIB's files"):
        write_submission(scored, tmp_path)
