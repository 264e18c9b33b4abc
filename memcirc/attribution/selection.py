"""Choose edges by their scores: exactly n of them, the same every time.

``top``: the n highest by absolute value or by signed value; ties go to the earlier edge in canonical order.
``greedy``: growth from the logits. A node joins when an edge from it is taken; the next edge is always the highest
among those that lead into a node already joined, so every edge has a path to the logits.
"""

import heapq
from collections import defaultdict
from collections.abc import Sequence
from numbers import Integral

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from memcirc.graph import LOGITS, Graph, node_of


def check_size(n: int, n_edges: int) -> None:
    """Raises ValueError unless n is a whole number and 0 <= n <= n_edges."""
    if isinstance(n, bool) or not isinstance(n, Integral):
        raise ValueError(f"{n!r} edges asked for; a whole number is needed")
    if not 0 <= n <= n_edges:
        raise ValueError(f"{n} edges asked for; accepted: 0 to {n_edges}")


def ranking(values: Float[Tensor, " n_edges"], by: str = "abs") -> Int[Tensor, " n_edges"]:
    """Edges from the highest score to the lowest; the first n are the circuit of n edges.

    Args:
        values: scores in canonical order.

    Raises:
        ValueError: an unknown ``by``, or NaN scores.
    """
    return torch.argsort(_keys(values, by), descending=True, stable=True)


def greedy_ranking(graph: Graph, values: Float[Tensor, " n_edges"], by: str = "abs") -> Int[Tensor, " n_edges"]:
    """Edges in the order in which greedy growth from the logits takes them."""
    keys = _keys(values, by).tolist()
    into: dict[str, list[int]] = defaultdict(list)
    for index, destination in enumerate(graph.edge_destination.tolist()):
        into[node_of(graph.destinations[destination])].append(index)
    source_of = [graph.sources[i] for i in graph.edge_source.tolist()]
    frontier: list[tuple[float, int]] = []
    joined: set[str] = set()
    order: list[int] = []

    def join(node: str) -> None:
        if node not in joined:
            joined.add(node)
            for index in into[node]:
                heapq.heappush(frontier, (-keys[index], index))

    join(LOGITS)
    while frontier:
        _, index = heapq.heappop(frontier)
        order.append(index)
        join(source_of[index])
    assert len(order) == graph.n_edges
    return torch.tensor(order)


def prefix_masks(order: Int[Tensor, " n_edges"], sizes: Sequence[int]) -> Bool[Tensor, "sizes n_edges"]:
    """The circuits made of the first n edges of a ranking."""
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    return rank[None, :] < torch.tensor(list(sizes))[:, None]


def check_by(by: str) -> None:
    """Raises ValueError for a key that no ranking goes by."""
    if by not in ("abs", "signed"):
        raise ValueError(f"selection by {by!r} is not known; accepted: abs, signed")


def _keys(values: Tensor, by: str) -> Tensor:
    check_by(by)
    if torch.isnan(values).any():
        raise ValueError(f"{int(torch.isnan(values).sum())} of {len(values)} edge scores are NaN")
    return values.abs() if by == "abs" else values
