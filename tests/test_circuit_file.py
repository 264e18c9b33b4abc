"""What a circuit's file says, and what it lacks; files that are none: ``tests/interop/test_mib.py``."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcirc.circuit_file import CircuitFile, cfg_of, read_circuit_json, shape_of
from memcirc.graph import Graph, GraphShape

GRAPH = Graph(GraphShape(1, 1, 1))


@given(
    st.builds(
        GraphShape,
        st.integers(1, 9),
        st.integers(1, 9),
        st.integers(1, 9),
        has_mlp=st.booleans(),
        parallel=st.booleans(),
    )
)
def test_a_shape_comes_back_from_cfg(shape: GraphShape) -> None:
    assert shape_of(cfg_of(shape)) == shape


def test_an_edge_without_a_score_is_named() -> None:
    file = CircuitFile(GRAPH, frozenset(), dict.fromkeys(GRAPH.edges[1:], 1.0), {})
    with pytest.raises(ValueError, match=f"here: 1 of {GRAPH.n_edges} edges have no score in it, {GRAPH.edges[0]}"):
        file.all_scores(Path("here"))


def test_a_circuit_without_scores_has_its_edges(tmp_path: Path) -> None:
    text = '{"cfg": {"n_layers": 1, "n_heads": 1}, "nodes": {}, "edges": {"m0->logits": {"in_graph": true}}}'
    (tmp_path / "c.json").write_text(text, encoding="utf-8")
    found = read_circuit_json(tmp_path / "c.json")
    assert (found.edges, dict(found.scores), found.d_model) == (frozenset({"m0->logits"}), {}, None)


def test_parts_of_nodes_are_refused(tmp_path: Path) -> None:
    text = '{"cfg": {"n_layers": 1, "n_heads": 1}, "nodes": {"m0": {"in_graph": true, "neurons": [true, false]}}'
    (tmp_path / "c.json").write_text(text + ', "edges": {}}', encoding="utf-8")
    with pytest.raises(ValueError, match="node m0 is in it with a part of its neurons"):
        read_circuit_json(tmp_path / "c.json")
