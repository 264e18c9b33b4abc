"""Draw random circuits of a found one's size.

- ``uniform``: n edges drawn without replacement. At small sizes such a circuit is almost always disconnected, and then
  its faithfulness is exactly 0 in tree mode under resample, so the share that is disconnected is always stated;
- ``connected``: the union of random paths from the input to the logits, every edge of it on such a path. A path is
  walked backwards from the logits: an input of the node and a source of that input, each drawn uniformly. A path that
  would exceed n is drawn anew; where none fits or adds anything any more, single edges between the nodes at hand fill
  up to n;
- ``matched``: as many edges as the found circuit has between each two layers and types (input, head; query, key, value,
  MLP, logits), drawn uniformly among the edges of that class;
- ``shuffled``: the found scores are permuted among the edges into each destination, and the n highest taken by the
  found circuit's own rule.
"""

import random
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from memcirc.attribution.scores import EdgeScores, Ranking
from memcirc.circuit import connected
from memcirc.graph import INPUT, LOGITS, Graph, node_of

KINDS = ("uniform", "connected", "matched", "shuffled")
PATIENCE = 20


def random_circuits(
    kind: str, graph: Graph, mask: Tensor, n_random: int, generator: torch.Generator, ranking: Ranking | None = None
) -> Tensor:
    """bool [n_random, graph.n_edges]: circuits of exactly as many edges as ``mask``, bool [graph.n_edges].

    Args:
        ranking: how the found circuit was chosen; what ``shuffled`` needs.

    Raises:
        ValueError: an unknown kind, or ``shuffled`` without a ranking.
    """
    n_edges = int(mask.sum())
    if kind == "uniform":
        return uniform_circuits(graph, n_edges, n_random, generator)
    if kind == "connected":
        return connected_circuits(graph, n_edges, n_random, generator)
    if kind == "matched":
        return matched_circuits(graph, mask, n_random, generator)
    if kind != "shuffled":
        raise ValueError(f"kind of random circuits {kind!r} is not known; accepted: {', '.join(KINDS)}")
    if ranking is None:
        raise ValueError("random circuits of kind 'shuffled' need the scores that the circuit was chosen by")
    return shuffled_circuits(ranking, n_edges, n_random, generator)


def uniform_circuits(graph: Graph, n_edges: int, n_random: int, generator: torch.Generator) -> Tensor:
    """bool [n_random, graph.n_edges], each row with exactly n_edges True."""
    keys = torch.rand(n_random, graph.n_edges, generator=generator)
    masks = torch.zeros(n_random, graph.n_edges, dtype=torch.bool)
    return masks.scatter_(1, keys.argsort(1)[:, :n_edges], True)


def connected_circuits(graph: Graph, n_edges: int, n_random: int, generator: torch.Generator) -> Tensor:
    """bool [n_random, graph.n_edges]; every edge lies on a path from the input to the logits."""
    seed = int(torch.randint(2**31, (), generator=generator))
    walk = Paths(graph, random.Random(seed))
    masks = torch.zeros(n_random, graph.n_edges, dtype=torch.bool)
    for row in masks:
        row[walk.union(n_edges)] = True
    return masks


class Paths:
    """Random paths through a graph, as lists of edge indices."""

    def __init__(self, graph: Graph, draw: random.Random) -> None:
        self.graph, self.draw = graph, draw
        index = np.full((len(graph.destinations), len(graph.sources)), -1)
        index[graph.edge_destination, graph.edge_source] = np.arange(graph.n_edges)
        self.index = index
        self.order = {name: rank for rank, name in enumerate((*graph.sources, LOGITS))}
        self.node = np.array([self.order[node_of(name)] for name in graph.destinations])
        self.source = graph.edge_source.numpy()
        self.reader = self.node[graph.edge_destination.numpy()]

    def path(self) -> list[int]:
        """One path, from the logits back to the input."""
        edges, node = [], LOGITS
        while node != INPUT:
            destination = self.draw.choice(self.graph.inputs_of[node])
            source = self.draw.randrange(self.graph.n_visible[destination])
            edges.append(int(self.index[destination, source]))
            node = self.graph.sources[source]
        return edges

    def union(self, n_edges: int) -> list[int]:
        """Exactly n edges, all on paths that they form."""
        chosen: set[int] = set()
        nodes = {self.order[INPUT], self.order[LOGITS]}
        failures = 0
        while len(chosen) < n_edges:
            path = set(self.path()) - chosen
            if path and len(chosen) + len(path) <= n_edges:
                chosen |= path
                nodes |= {int(self.source[edge]) for edge in path} | {int(self.reader[edge]) for edge in path}
                failures = 0
                continue
            failures += 1
            if failures < PATIENCE:
                continue
            failures = 0
            between = self._between(nodes, chosen)
            if between:
                chosen |= set(self.draw.sample(between, min(len(between), n_edges - len(chosen))))
            else:
                chosen, nodes = set(), {self.order[INPUT], self.order[LOGITS]}
        return sorted(chosen)

    def _between(self, nodes: set[int], chosen: set[int]) -> list[int]:
        """Edges between nodes at hand that are not chosen yet."""
        at_hand = np.array(sorted(nodes))
        fits = np.isin(self.source, at_hand) & np.isin(self.reader, at_hand)
        return [edge for edge in np.flatnonzero(fits).tolist() if edge not in chosen]


def matched_circuits(graph: Graph, mask: Tensor, n_random: int, generator: torch.Generator) -> Tensor:
    """bool [n_random, graph.n_edges]; as many edges of each class as ``mask`` has."""
    classes = edge_classes(graph)
    masks = torch.zeros(n_random, graph.n_edges, dtype=torch.bool)
    for each in classes[mask].unique().tolist():
        members = (classes == each).nonzero()[:, 0]
        wanted = int(mask[members].sum())
        keys = torch.rand(n_random, len(members), generator=generator)
        masks.scatter_(1, members[keys.argsort(1)[:, :wanted]], True)
    return masks


def edge_classes(graph: Graph) -> Tensor:
    """int64 [n_edges]: edges of equal number run between the same layers and types."""
    sources = [_layer_and_type(name) for name in graph.sources]
    destinations = [_layer_and_type(name) for name in graph.destinations]
    pairs = [
        (sources[s], destinations[d])
        for s, d in zip(graph.edge_source.tolist(), graph.edge_destination.tolist(), strict=True)
    ]
    number = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
    return torch.tensor([number[pair] for pair in pairs])


def _layer_and_type(name: str) -> tuple[str, str]:
    """``a3.h1<q>`` -> (3, aq), ``m3`` -> (3, m), ``input`` -> (input, input)."""
    if name in (INPUT, LOGITS):
        return name, name
    node, _, letter = name.partition("<")
    return node[1:].split(".")[0], node[0] + letter


def shuffled_circuits(ranking: Ranking, n_edges: int, n_random: int, generator: torch.Generator) -> Tensor:
    """bool [n_random, n_edges of the graph]; scores permuted within each destination, the highest taken."""
    scores = ranking.scores
    destination = scores.graph.edge_destination
    grouped = destination.argsort(stable=True)
    masks = []
    for _ in range(n_random):
        keys = torch.rand(len(destination), generator=generator, dtype=torch.float64)
        values = torch.empty_like(scores.values)
        values[grouped] = scores.values[(destination + keys).argsort()]
        masks.append(replace(ranking, scores=EdgeScores(scores.graph, values)).masks([n_edges])[0])
    return torch.stack(masks)


def disconnected_share(graph: Graph, masks: Tensor) -> float:
    """Share of circuits without any path from the input to the logits."""
    return float(np.mean([not bool(connected(graph, mask).any()) for mask in masks]))
