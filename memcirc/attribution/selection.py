"""Choose edges by their scores: exactly n of them, the same every time.

``top``: the n highest by absolute value or by signed value; ties go to the earlier edge in canonical order.
``greedy``: growth from the logits. A node joins when an edge from it is taken; the next edge is always the highest
among those that lead into a node already joined, so every edge has a path to the logits.
``connected``: what is left when every edge is removed that lies on no path from the input to the logits.
"""

import heapq
from collections import defaultdict
from typing import Literal

import torch
from torch import Tensor

from memcirc.graph import INPUT, LOGITS, Graph

By = Literal["abs", "signed"]


def check_size(n: int, n_edges: int) -> None:
    """Raises ValueError unless 0 <= n <= n_edges."""
    if not 0 <= n <= n_edges:
        raise ValueError(f"{n} edges asked for; accepted: 0 to {n_edges}")


def ranking(values: Tensor, by: By = "abs") -> Tensor:
    """int64 [n_edges]: edges from the highest score to the lowest; its first n are the circuit of n edges.

    Args:
        values: float [n_edges] in canonical order.

    Raises:
        ValueError: an unknown ``by``, or NaN scores.
    """
    return torch.argsort(_keys(values, by), descending=True, stable=True)


def greedy_ranking(graph: Graph, values: Tensor, by: By = "abs") -> Tensor:
    """int64 [n_edges]: edges in the order in which greedy growth from the logits takes them."""
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


def connected(graph: Graph, mask: Tensor) -> Tensor:
    """bool [n_edges]: the edges of ``mask`` that lie on a path of it from ``input`` to ``logits``."""
    edges = [
        (index, graph.sources[src], node_of(graph.destinations[dst]))
        for index, src, dst in zip(
            range(graph.n_edges), graph.edge_source.tolist(), graph.edge_destination.tolist(), strict=True
        )
        if mask[index]
    ]
    rank = {name: position for position, name in enumerate((*graph.sources, LOGITS))}
    from_input, to_logits = {INPUT}, {LOGITS}
    for _, source, node in sorted(edges, key=lambda edge: rank[edge[1]]):
        if source in from_input:
            from_input.add(node)
    for _, source, node in sorted(edges, key=lambda edge: -rank[edge[2]]):
        if node in to_logits:
            to_logits.add(source)
    kept = torch.zeros_like(mask)
    for index, source, node in edges:
        kept[index] = source in from_input and node in to_logits
    return kept


def node_of(destination: str) -> str:
    """The node that an input belongs to: ``a0.h1<q>`` -> ``a0.h1``."""
    return destination.split("<")[0]


def _keys(values: Tensor, by: By) -> Tensor:
    if by not in ("abs", "signed"):
        raise ValueError(f"selection by {by!r} is not known; accepted: abs, signed")
    if torch.isnan(values).any():
        raise ValueError(f"{int(torch.isnan(values).sum())} of {len(values)} edge scores are NaN")
    return values.abs() if by == "abs" else values
