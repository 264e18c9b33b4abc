import json
from pathlib import Path

import pytest
import torch

from memcirc.circuit import Circuit
from memcirc.graph import Graph, GraphShape
from memcirc.interop.mib import ScoredCircuit, save_circuit
from memcirc.interop.reading import load_circuit, read_scored

GRAPH = Graph(GraphShape(2, 2, 2, parallel=True))
CIRCUIT = Circuit.from_edges(["input->a1.h0<q>", "a1.h0->logits"], method="eap")
SCORED = ScoredCircuit(GRAPH, CIRCUIT, torch.arange(GRAPH.n_edges, dtype=torch.float64), 16)


def test_a_file_gives_back_circuit_graph_and_statement(tmp_path: Path) -> None:
    save_circuit(tmp_path / "c.json", SCORED, {"mode": "tree"})
    circuit, graph = load_circuit(tmp_path / "c.json")
    assert (circuit, graph) == (CIRCUIT, GRAPH)
    assert (circuit.origin["method"], circuit.origin["mode"], circuit.origin["n_edges"]) == ("eap", "tree", 2)
    assert read_scored(tmp_path / "c.json").scores.equal(SCORED.scores)


def test_the_file_is_what_eap_ig_reads(tmp_path: Path) -> None:
    """The steps of its ``Graph.from_json``: every node but the logits, then every edge, is set by name."""
    save_circuit(tmp_path / "c.json", SCORED)
    content = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert {"n_layers", "n_heads", "d_model", "parallel_attn_mlp"} == content["cfg"].keys()
    nodes = {name: node["in_graph"] for name, node in content["nodes"].items()}
    assert nodes == {name: name in ("input", "a1.h0", "logits") for name in (*GRAPH.sources, "logits")}
    assert list(content["edges"]) == list(GRAPH.edges)
    assert content["edges"]["input->a1.h0<q>"] == {"score": GRAPH.index("input->a1.h0<q>"), "in_graph": True}


@pytest.mark.parametrize(
    ("width", "said"),
    [
        (None, r"c.json: no width of a model \(cfg's d_model\) in it"),
        *(
            (width, "c.json: not a circuit in EAP-IG's or MIB's JSON .*d_model")
            for width in ([16], "16", 16.5, True, 0)
        ),
    ],
)
def test_a_width_that_is_no_count_is_refused(width: object, said: str, tmp_path: Path) -> None:
    save_circuit(path := tmp_path / "c.json", SCORED)
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "cfg": {**content["cfg"], "d_model": width}}))
    with pytest.raises(ValueError, match=said):
        read_scored(path)


@pytest.mark.parametrize("shape", [GraphShape(2, 4, 2), GraphShape(2, 2, 2, has_mlp=False)])
def test_a_graph_of_another_kind_is_read_back_as_it_is(tmp_path: Path, shape: GraphShape) -> None:
    graph = Graph(shape)
    save_circuit(tmp_path / "c.json", ScoredCircuit(graph, Circuit.from_edges([]), torch.zeros(graph.n_edges), 8))
    assert load_circuit(tmp_path / "c.json")[1] == graph


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a circuit in EAP-IG's or MIB's JSON"),
        ('{"edges": {}}', "not a circuit in EAP-IG's or MIB's JSON"),
        ('{"cfg": {"n_layers": "1", "n_heads": 1}, "edges": {}}', "not a circuit in EAP-IG's or MIB's JSON"),
        ('{"cfg": {"n_layers": 2.0, "n_heads": 1}, "edges": {}}', "n_layers is 2.0; a whole number is needed"),
        ('{"cfg": {"n_layers": 1000000000, "n_heads": 1}, "edges": {}}', "n_layers is 1000000000; at most 1024"),
        (
            '{"cfg": {"n_layers": 1, "n_heads": 1}, "edges": {"m0->logits": {"score": 0, "in_graph": "false"}}}',
            "in_graph of m0->logits is 'false'; true or false is needed",
        ),
        ("version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        ('{"cfg": {"n_layers": 1, "n_heads": 1}, "edges": {}, "memcirc": [1]}', "not a circuit in EAP-IG's"),
        (
            '{"cfg": {"n_layers": 1, "n_heads": 1}, "edges": {"m7->logits": {"score": 0, "in_graph": true}}}',
            "no edge 'm7->logits'",
        ),
    ],
)
def test_files_that_are_no_circuits_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "c.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_circuit(tmp_path / "c.json")
    with pytest.raises(FileNotFoundError, match="no circuit at"):
        load_circuit(tmp_path / "none.json")
