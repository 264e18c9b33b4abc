import json
from pathlib import Path

import pytest

from memcirc.circuit import Circuit
from memcirc.graph import Graph, GraphShape
from memcirc.interop.mib import load_circuit, save_circuit

GRAPH = Graph(GraphShape(2, 2, 2, parallel=True))
CIRCUIT = Circuit.from_edges(["input->a1.h0<q>", "a1.h0->logits"], method="eap")


def test_a_file_gives_back_circuit_graph_and_statement(tmp_path: Path) -> None:
    scores = {name: float(i) for i, name in enumerate(GRAPH.edges)}
    save_circuit(tmp_path / "c.json", GRAPH, CIRCUIT, scores, 16, {"mode": "tree"})
    circuit, graph = load_circuit(tmp_path / "c.json")
    assert (circuit, graph) == (CIRCUIT, GRAPH)
    assert (circuit.origin["method"], circuit.origin["mode"], circuit.origin["n_edges"]) == ("eap", "tree", 2)


def test_the_keys_are_those_that_eap_ig_reads(tmp_path: Path) -> None:
    save_circuit(tmp_path / "c.json", GRAPH, CIRCUIT, dict.fromkeys(GRAPH.edges, 0.5), 16, {})
    content = json.loads((tmp_path / "c.json").read_text())
    assert {"cfg", "nodes", "edges"} <= content.keys()
    assert content["nodes"] == {name: name in ("input", "a1.h0", "logits") for name in (*GRAPH.sources, "logits")}
    assert content["edges"]["input->a1.h0<q>"] == {"score": 0.5, "in_graph": True}
    assert {"n_layers", "n_heads", "d_model", "parallel_attn_mlp"} <= content["cfg"].keys()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ('{"edges": {}}', "not a circuit in EAP-IG's or MIB's JSON"),
        (
            '{"cfg": {"n_layers": 1, "n_heads": 1}, "edges": {"m7->logits": {"score": 0, "in_graph": true}}}',
            "no edge 'm7->logits'",
        ),
    ],
)
def test_files_that_are_no_circuits_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_circuit(tmp_path / "c.json")
    with pytest.raises(FileNotFoundError, match="no circuit at"):
        load_circuit(tmp_path / "none.json")
