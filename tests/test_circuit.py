import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memcirc.circuit import Circuit, connected, edge_mask
from memcirc.graph import Graph, GraphShape, node_of

GRAPH = Graph(GraphShape(2, 2, 2))


@pytest.mark.parametrize("names", [["input->logits"], ("input->logits",), {"input->logits"}, iter(["input->logits"])])
def test_any_collection_of_names_is_a_circuit(names: object) -> None:
    circuit = Circuit.from_edges(names, method="eap")
    assert (circuit.edges, circuit.origin) == (frozenset(["input->logits"]), {"method": "eap"})


@pytest.mark.parametrize("names", ["input->logits", ""])
def test_a_string_is_no_collection_of_names(names: object) -> None:
    for make in (Circuit.from_edges, lambda given: edge_mask(GRAPH, given)):
        with pytest.raises(ValueError, match=r"a collection of edge names is needed|is no name of an edge"):
            make(names)
    with pytest.raises((ValueError, TypeError)):
        Circuit(names)


def test_a_circuit_of_many_edges_is_one_line() -> None:
    circuit = Circuit.from_edges(GRAPH.edges, method="mask-ig", selection="top", long=np.zeros(9), model="m" * 400)
    assert repr(circuit).startswith(f"Circuit({GRAPH.n_edges} edges, method='mask-ig', selection='top', model='mmm")
    assert len(repr(circuit)) < 200


def on_a_path(edges: set[str]) -> set[str]:
    """The slow form: walk every path of the edges from the input to the logits."""
    found: set[str] = set()

    def walk(node: str, path: tuple[str, ...]) -> None:
        if node == "logits":
            found.update(path)
            return
        for edge in edges:
            source, _, destination = edge.partition("->")
            if source == node:
                walk(node_of(destination), (*path, edge))

    walk("input", ())
    return found


@given(st.sets(st.sampled_from(GRAPH.edges), max_size=25))
@settings(max_examples=60, deadline=None)
def test_connected_edges_are_those_on_a_path_from_the_input_to_the_logits(edges: set[str]) -> None:
    mask = connected(GRAPH, Circuit.from_edges(edges).mask(GRAPH))
    assert {name for name, kept in zip(GRAPH.edges, mask.tolist(), strict=True) if kept} == on_a_path(edges)


def test_keys_shared_by_a_group_connect_every_head_of_it() -> None:
    graph = Graph(GraphShape(1, 4, 2))
    names = ["input->a0.h1<k>", "a0.h2->logits", "a0.h3->logits"]
    mask = connected(graph, Circuit.from_edges(names).mask(graph))
    assert mask.sum() == 3
    other = connected(graph, Circuit.from_edges(["input->a0.h0<k>", *names[1:]]).mask(graph))
    assert not other.any()


def test_a_circuit_is_a_set_of_names_in_order_whatever_it_came_from() -> None:
    circuit = Circuit.from_edges(["m0->logits", "input->m0"], method="eap")
    assert list(circuit) == ["input->m0", "m0->logits"]
    assert (len(circuit), "input->m0" in circuit, "input->logits" in circuit) == (2, True, False)
    assert circuit == Circuit.from_edges(["input->m0", "m0->logits"], method="exact")
    assert circuit != Circuit.from_edges(["input->m0"], method="eap")


@pytest.mark.parametrize("names", [[1, 2], [None], [("input", "logits")]])
def test_what_is_no_name_is_refused(names: list[object]) -> None:
    with pytest.raises(ValueError, match="is no name of an edge, such as"):
        Circuit.from_edges(iter(names))  # type: ignore[arg-type]


def test_a_mask_holds_the_circuits_edges_in_the_graphs_order() -> None:
    names = [GRAPH.edges[i] for i in (0, 7, 20)]
    assert edge_mask(GRAPH, names).nonzero()[:, 0].tolist() == [0, 7, 20]
    assert Circuit.from_edges(names).mask(GRAPH).sum() == 3
    assert not edge_mask(GRAPH, []).any()
    with pytest.raises(ValueError, match="no edge 'input->m7'"):
        edge_mask(GRAPH, ["input->m7"])
