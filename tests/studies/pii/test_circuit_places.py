"""Edges counted by their places, on a graph small enough to count by hand."""

from memcirc.graph import Graph, GraphShape
from memcirc.studies.pii.circuit_places import kind_of, layer_of, place_counts


def test_edges_are_counted_by_layer_and_by_kind() -> None:
    """Two layers of one head and a parallel MLP: input, a0, m0, a1, m1; a block's MLP does not read its own head."""
    graph = Graph(GraphShape(n_layers=2, n_heads=1, n_kv_heads=1, parallel=True))
    found = place_counts(graph, ["input->m0", "m0->a1.h0<v>", "m1->logits"], ["m1->logits"])
    rows = {(row.by, row.place): (row.n_edges, row.sufficient, row.necessary) for row in found}
    assert rows == {
        ("written by", "embedding"): (9, 1, 0),
        ("written by", "layer 0"): (10, 1, 0),
        ("written by", "layer 1"): (2, 1, 1),
        ("read by", "layer 0"): (4, 1, 0),
        ("read by", "layer 1"): (12, 1, 0),
        ("read by", "logits"): (5, 1, 1),
        ("kinds", "embedding → heads"): (6, 0, 0),
        ("kinds", "embedding → MLPs"): (2, 1, 0),
        ("kinds", "embedding → logits"): (1, 0, 0),
        ("kinds", "heads → heads"): (3, 0, 0),
        ("kinds", "heads → MLPs"): (1, 0, 0),
        ("kinds", "heads → logits"): (2, 0, 0),
        ("kinds", "MLPs → heads"): (3, 1, 0),
        ("kinds", "MLPs → MLPs"): (1, 0, 0),
        ("kinds", "MLPs → logits"): (2, 1, 1),
    }
    assert [layer_of(node) for node in ("input", "a10.h3", "m2", "logits")] == [
        "embedding", "layer 10", "layer 2", "logits"
    ]  # fmt: skip
    assert kind_of("a10.h3") == "heads"
