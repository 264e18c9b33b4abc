"""Exported files say what the circuit says: read back by their formats' rules, or by the peer itself."""

import csv
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.circuit import Circuit
from memcirc.circuits.runner import run_circuit
from memcirc.graph import Graph, GraphShape, graph_of
from memcirc.interop.auto_circuit import patchable
from memcirc.interop.export import FORMATS, export, prune_scores
from memcirc.interop.mib import ScoredCircuit, save_circuit
from memcirc.interop.reading import load_circuit, read_scored
from tests.models import random_pairs, small_model

GRAPH = Graph(GraphShape(2, 3, 3))
EDGES = ("input->a0.h1<q>", "a0.h1->m0", "m0->a1.h2<v>", "a1.h2->logits", "input->logits")


@pytest.fixture
def scored() -> ScoredCircuit:
    scores = torch.randn(GRAPH.n_edges, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return ScoredCircuit(GRAPH, Circuit.from_edges(EDGES), scores, 16)


def test_mib_json_is_read_back_and_marks_every_node(scored: ScoredCircuit, tmp_path: Path) -> None:
    export(scored, tmp_path / "c.json", "mib-json")
    circuit, graph = load_circuit(tmp_path / "c.json")
    assert (circuit, graph) == (scored.circuit, GRAPH)
    content = json.loads((tmp_path / "c.json").read_text())
    assert set(content["cfg"]) == {"n_layers", "n_heads", "parallel_attn_mlp", "d_model"}
    inside = {name for name, node in content["nodes"].items() if node["in_graph"]}
    assert inside == {"input", "a0.h1", "m0", "a1.h2", "logits"}


def test_mib_pt_holds_matrices_of_sources_and_destinations(scored: ScoredCircuit, tmp_path: Path) -> None:
    export(scored, tmp_path / "c.pt", "mib-pt")
    content = torch.load(tmp_path / "c.pt", weights_only=True)
    assert content["edges_scores"].shape == (1 + 2 * 4, 2 * 10 + 1)
    edges = content["edges_in_graph"].nonzero().tolist()
    assert {f"{content['src_nodes'][s]}->{content['dst_nodes'][d]}" for s, d in edges} == set(EDGES)
    row, column = content["src_nodes"].index("a0.h1"), content["dst_nodes"].index("m0")
    assert content["edges_scores"][row, column] == pytest.approx(float(scored.scores[GRAPH.index("a0.h1->m0")]))
    assert content["nodes_in_graph"].tolist() == [scored.nodes[name] for name in GRAPH.sources]


def test_auto_circuit_finds_the_circuit_among_its_own_edges(tmp_path: Path) -> None:
    """The peer's own index of every edge into the exported tensors gives our score inside the circuit, 0 outside."""
    model = small_model("gpt2")
    scores = attribute(model, random_pairs(2), "eap")
    circuit = scores.top(25)
    exported = prune_scores(ScoredCircuit(graph_of(model), circuit, scores.values, 16))
    from memcirc.interop.names import from_auto_circuit

    for edge in patchable(model).edges:
        name = from_auto_circuit(edge.name)
        expected = scores[name] if name in circuit else 0.0
        assert float(edge.prune_score(exported)) == pytest.approx(expected, rel=1e-6)


def test_a_zero_within_the_circuit_is_raised_so_that_it_stays_in() -> None:
    scores = torch.zeros(GRAPH.n_edges, dtype=torch.float64)
    scores[GRAPH.index("input->logits")] = -2.0
    exported = prune_scores(ScoredCircuit(GRAPH, Circuit.from_edges(EDGES), scores, 16))
    assert sum(int((part != 0).sum()) for part in exported.values()) == len(EDGES)


def test_graphml_and_dot_have_the_circuits_nodes_and_edges(scored: ScoredCircuit, tmp_path: Path) -> None:
    export(scored, tmp_path / "c.graphml", "graphml")
    root = ElementTree.parse(tmp_path / "c.graphml").getroot()
    space = "{http://graphml.graphdrawing.org/xmlns}"
    assert {edge.get("id") for edge in root.iter(f"{space}edge")} == set(EDGES)
    assert {node.get("id") for node in root.iter(f"{space}node")} == {"input", "a0.h1", "m0", "a1.h2", "logits"}
    export(scored, tmp_path / "c.dot", "dot")
    assert (tmp_path / "c.dot").read_text().count("->") == len(EDGES)


def test_csv_has_a_row_for_every_edge(scored: ScoredCircuit, tmp_path: Path) -> None:
    export(scored, tmp_path / "c.csv", "csv")
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["edge"] for row in rows] == list(GRAPH.edges)
    assert {row["edge"] for row in rows if row["in_circuit"] == "1"} == set(EDGES)
    assert [float(row["score"]) for row in rows] == scored.scores.tolist()


def test_a_circuits_file_becomes_every_format_and_runs_the_same(tmp_path: Path) -> None:
    model, pairs = small_model("gpt2"), random_pairs(2)
    scores = attribute(model, pairs, "eap")
    circuit = scores.top(20)
    save_circuit(tmp_path / "c.json", ScoredCircuit(graph_of(model), circuit, scores.values, 16))
    scored = read_scored(tmp_path / "c.json")
    for name in FORMATS:
        export(scored, tmp_path / f"out.{name}", name)
    again, _ = load_circuit(tmp_path / "out.mib-json")
    first, second = (run_circuit(model, pairs, c, mode="tree") for c in (circuit, again))
    assert torch.equal(first, second)


@pytest.mark.parametrize("shape", [GraphShape(2, 4, 2), GraphShape(2, 4, 4, has_mlp=False)])
def test_graphs_that_a_format_cannot_hold_are_refused(shape: GraphShape, tmp_path: Path) -> None:
    graph = Graph(shape)
    scored = ScoredCircuit(graph, Circuit.from_edges(["input->logits"]), torch.ones(graph.n_edges), 8)
    for name in ("mib-json", "mib-pt", "auto-circuit", "auto-circuit-scores"):
        with pytest.raises(ValueError, match=r"has no place in .*'s files; export graphml, dot or csv"):
            export(scored, tmp_path / "c", name)
    export(scored, tmp_path / "c.dot", "dot")


def test_an_unknown_format_is_refused(scored: ScoredCircuit, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="format 'png' is not known; accepted: mib-json, mib-pt"):
        export(scored, tmp_path / "c", "png")
