"""Where circuits sit: their edges counted by layer, and by the kinds of their ends."""

from collections import Counter
from collections.abc import Callable, Iterable

from memcirc.graph import INPUT, LOGITS, Graph, node_of
from memcirc.studies.pii.circuit_results import PlaceCount

WRITES, READS, KINDS = "written by", "read by", "kinds"


def place_counts(graph: Graph, sufficient: Iterable[str], necessary: Iterable[str]) -> list[PlaceCount]:
    """Counts of all edges and of two circuits' by the layer that writes, by the layer that reads, and by the kinds of
    both ends; every place that has edges at all, in the graph's order."""
    places: dict[str, Callable[[str], str]] = {
        WRITES: lambda edge: layer_of(_ends(edge)[0]),
        READS: lambda edge: layer_of(_ends(edge)[1]),
        KINDS: lambda edge: " → ".join(kind_of(end) for end in _ends(edge)),
    }
    found = []
    for by, place in places.items():
        every, keeps, takes = (Counter(map(place, edges)) for edges in (graph.edges, sufficient, necessary))
        order = every if by == KINDS else [p for p in map(layer_of, (*graph.sources, LOGITS)) if p in every]
        found += [PlaceCount(by, p, every[p], keeps[p], takes[p]) for p in dict.fromkeys(order)]
    return found


def layer_of(node: str) -> str:
    """``layer 3`` for a head or an MLP of it, else ``embedding`` or ``logits``."""
    if node in (INPUT, LOGITS):
        return kind_of(node)
    return f"layer {node[1:].split('.')[0]}"


def kind_of(node: str) -> str:
    """``embedding``, ``heads``, ``MLPs`` or ``logits``."""
    return {INPUT: "embedding", LOGITS: "logits"}.get(node, "heads" if node.startswith("a") else "MLPs")


def _ends(edge: str) -> tuple[str, str]:
    """The nodes at both ends of an edge."""
    source, _, destination = edge.partition("->")
    return source, node_of(destination)
