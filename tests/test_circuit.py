import numpy as np
import pytest

from memcirc.circuit import Circuit, edge_mask
from memcirc.graph import Graph, GraphShape

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
