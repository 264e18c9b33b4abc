import pytest

from memcirc.graph import Graph, GraphShape
from memcirc.interop.names import from_auto_circuit, to_auto_circuit


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Resid Start->A3.0.V", "input->a3.h0<v>"),
        ("A0.11->MLP 3", "a0.h11->m3"),
        ("MLP 10->Resid End", "m10->logits"),
        ("Resid Start->Resid End", "input->logits"),
    ],
)
def test_names_are_those_of_both_libraries(theirs: str, ours: str) -> None:
    assert from_auto_circuit(theirs) == ours
    assert to_auto_circuit(ours) == theirs


def test_every_edge_comes_back_from_its_other_name() -> None:
    graph = Graph(GraphShape(2, 11, 11))
    assert [from_auto_circuit(to_auto_circuit(edge)) for edge in graph.edges] == list(graph.edges)


@pytest.mark.parametrize("wrong", ["A0.1", "Resid End->MLP 0", "A0.1->B2", "A0.1.Q->MLP 2"])
def test_what_is_no_name_of_an_edge_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="AutoCircuit's"):
        from_auto_circuit(wrong)
