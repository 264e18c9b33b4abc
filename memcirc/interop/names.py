"""AutoCircuit's names of edges: ``Resid Start->A3.0.V`` is our ``input->a3.h0<v>``."""

import re

_SOURCE = (("Resid Start", "input"), (r"A(\d+)\.(\d+)", r"a\1.h\2"), (r"MLP (\d+)", r"m\1"))
_DESTINATION = (("Resid End", "logits"), (r"A(\d+)\.(\d+)\.([QKV])", r"a\1.h\2<\3>"), (r"MLP (\d+)", r"m\1"))


def from_auto_circuit(edge: str) -> str:
    """Our name of one of AutoCircuit's edges.

    Raises:
        ValueError: not a name of an edge between components.
    """
    source, arrow, destination = edge.partition("->")
    if not arrow:
        raise ValueError(f"{edge!r} is no name of an edge of AutoCircuit's, such as 'A0.1->MLP 2'")
    named = f"{_translated(source, _SOURCE, edge)}->{_translated(destination, _DESTINATION, edge)}"
    return re.sub(r"<([QKV])>", lambda letter: f"<{letter[1].lower()}>", named)


def to_auto_circuit(edge: str) -> str:
    """AutoCircuit's name of one of our edges."""
    source, _, destination = edge.partition("->")
    source = "Resid Start" if source == "input" else _component(source)
    if destination == "logits":
        return f"{source}->Resid End"
    node, _, letter = destination.partition("<")
    return f"{source}->{_component(node)}{'.' + letter[0].upper() if letter else ''}"


def _component(node: str) -> str:
    return re.sub(r"^m(\d+)$", r"MLP \1", re.sub(r"^a(\d+)\.h(\d+)$", r"A\1.\2", node))


def _translated(name: str, rules: tuple[tuple[str, str], ...], edge: str) -> str:
    for pattern, ours in rules:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, ours, name)
    raise ValueError(f"{edge!r}: {name!r} is no component of AutoCircuit's")
