"""Random circuits of the same size: is the found one better than chance?

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
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

from memcirc.attribution.scores import EdgeScores
from memcirc.circuit import Circuit, connected, edge_mask
from memcirc.circuits.minimal import prefix_masks
from memcirc.circuits.runner import AnyCircuit, CircuitRunner
from memcirc.graph import INPUT, LOGITS, Graph, node_of
from memcirc.verification.check import Job, Work
from memcirc.verification.record import OfPairs
from memcirc.verification.subject import Subject

KINDS = ("uniform", "connected", "matched", "shuffled")
FEWEST_FOR_P = 19
PATIENCE = 20


def random_circuits(
    kind: str,
    graph: Graph,
    mask: Tensor,
    n_circuits: int,
    generator: torch.Generator,
    scores: EdgeScores | None = None,
    by: str = "abs",
    selection: str = "top",
) -> Tensor:
    """bool [n_circuits, graph.n_edges]: circuits of exactly as many edges as ``mask``, bool [graph.n_edges].

    Args:
        scores, by, selection: how the found circuit was chosen; what ``shuffled`` needs.

    Raises:
        ValueError: an unknown kind, or ``shuffled`` without scores.
    """  # fmt: skip
    n_edges = int(mask.sum())
    if kind == "uniform":
        return uniform_circuits(graph, n_edges, n_circuits, generator)
    if kind == "connected":
        return connected_circuits(graph, n_edges, n_circuits, generator)
    if kind == "matched":
        return matched_circuits(graph, mask, n_circuits, generator)
    if kind != "shuffled":
        raise ValueError(f"kind of random circuits {kind!r} is not known; accepted: {', '.join(KINDS)}")
    if scores is None:
        raise ValueError("random circuits of kind 'shuffled' need the scores that the circuit was chosen by")
    return shuffled_circuits(scores, n_edges, n_circuits, generator, by, selection)


def uniform_circuits(graph: Graph, n_edges: int, n_circuits: int, generator: torch.Generator) -> Tensor:
    """bool [n_circuits, graph.n_edges], each row with exactly n_edges True."""
    keys = torch.rand(n_circuits, graph.n_edges, generator=generator)
    masks = torch.zeros(n_circuits, graph.n_edges, dtype=torch.bool)
    return masks.scatter_(1, keys.argsort(1)[:, :n_edges], True)


def connected_circuits(graph: Graph, n_edges: int, n_circuits: int, generator: torch.Generator) -> Tensor:
    """bool [n_circuits, graph.n_edges]; every edge lies on a path from the input to the logits."""
    seed = int(torch.randint(2**31, (), generator=generator))
    walk = Paths(graph, random.Random(seed))
    masks = torch.zeros(n_circuits, graph.n_edges, dtype=torch.bool)
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


def matched_circuits(graph: Graph, mask: Tensor, n_circuits: int, generator: torch.Generator) -> Tensor:
    """bool [n_circuits, graph.n_edges]; as many edges of each class as ``mask`` has."""
    classes = edge_classes(graph)
    masks = torch.zeros(n_circuits, graph.n_edges, dtype=torch.bool)
    for each in classes[mask].unique().tolist():
        members = (classes == each).nonzero()[:, 0]
        wanted = int(mask[members].sum())
        keys = torch.rand(n_circuits, len(members), generator=generator)
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


def shuffled_circuits(
    scores: EdgeScores, n_edges: int, n_circuits: int, generator: torch.Generator, by: str, selection: str
) -> Tensor:
    """bool [n_circuits, n_edges of the graph]; scores permuted within each destination, the highest taken."""
    destination = scores.graph.edge_destination
    grouped = destination.argsort(stable=True)
    masks = []
    for _ in range(n_circuits):
        keys = torch.rand(len(destination), generator=generator, dtype=torch.float64)
        values = torch.empty_like(scores.values)
        values[grouped] = scores.values[(destination + keys).argsort()]
        masks.append(prefix_masks(EdgeScores(scores.graph, values).order(by, selection), [n_edges])[0])
    return torch.stack(masks)


def disconnected_share(graph: Graph, masks: Tensor) -> float:
    """Share of circuits without any path from the input to the logits."""
    return float(np.mean([not bool(connected(graph, mask).any()) for mask in masks]))


def per_pair_of_many(runner: CircuitRunner, masks: Tensor, metric: str) -> Tensor:
    """float64 [circuits, pairs]: the metric of many circuits, each different one measured once.

    What lies on no path from input to logits changes nothing in tree mode under resample, so that circuits are cut down
    to their connected part first; a disconnected one is the empty one.
    """
    settings = runner.settings
    if settings.mode == "tree" and settings.ablated.rests:
        masks = torch.stack([connected(runner.graph, mask) for mask in masks])
    distinct, inverse = masks.unique(dim=0, return_inverse=True)
    return runner.per_pair(distinct, metric).double().cpu()[inverse]


@dataclass(frozen=True)
class RandomComparison(OfPairs):
    """A circuit's faithfulness beside that of random circuits of its size.

    ``overlap``: mean share of the circuit's edges that a random one has as well: near 1 where its kind leaves little
    choice, and then the comparison says nothing. ``quantile``: share of random circuits below it. ``p_value`` = (1 +
    number at least as good) / (1 + number drawn),
    None where fewer than ``FEWEST_FOR_P`` were drawn, which cannot reach 5 %.
    """

    KEY = "random"

    kind: str
    n_edges: int
    n_circuits: int
    found: float
    mean: float
    std: float
    q05: float
    median: float
    q95: float
    highest: float
    disconnected: float
    overlap: float
    quantile: float
    p_value: float | None


def spread(values: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation and quantiles of the faithfulness of random circuits."""
    q05, median, q95 = np.quantile(values, [0.05, 0.5, 0.95]).tolist()
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "q05": q05,
        "median": median,
        "q95": q95,
        "highest": float(values.max()),
    }


def rank_among(found: float, values: np.ndarray) -> dict[str, float]:
    """Where a found value stands among random ones."""
    return {
        "quantile": float((values < found).mean()),
        "p_value": float((1 + (values >= found).sum()) / (1 + len(values))),
    }


def check_enough(n_circuits: int) -> None:
    """Raises ValueError where a p-value could not reach 5 %."""
    if n_circuits < FEWEST_FOR_P:
        raise ValueError(
            f"a p-value of {n_circuits} random circuits is at least {1 / (1 + n_circuits):.3f}; "
            f"at least {FEWEST_FOR_P} random circuits are needed to reach 0.05"
        )


def compare_with_random(
    runner: CircuitRunner,
    circuit: AnyCircuit,
    metric: str,
    n_circuits: int,
    seed: int,
    kind: str = "uniform",
    scores: EdgeScores | None = None,
) -> RandomComparison:
    """A circuit against ``n_circuits`` random ones of its size, run in the same way; the same seed draws the same
    circuits whatever the way of running.

    Raises:
        ValueError: an unknown kind, ``shuffled`` without scores, ends that coincide.
    """
    origin = circuit.origin if isinstance(circuit, Circuit) else {}
    mask = edge_mask(runner.graph, circuit)
    masks = random_circuits(
        kind, runner.graph, mask, n_circuits, torch.Generator().manual_seed(seed), scores,
        origin.get("by", "abs"), origin.get("selection", "top"),
    )  # fmt: skip
    ends = runner.ends(metric)
    found = float(ends.faithfulness(runner.per_pair([circuit], metric)[0].double().mean().cpu()))
    values = ends.faithfulness(per_pair_of_many(runner, masks, metric).mean(1))
    rank = rank_among(found, values)
    return RandomComparison(
        kind=kind,
        way=runner.way(metric),
        n_edges=len(circuit),
        n_circuits=n_circuits,
        found=found,
        disconnected=disconnected_share(runner.graph, masks),
        overlap=float((masks & mask).sum(1).double().mean() / max(1, int(mask.sum()))),
        **spread(values),
        quantile=rank["quantile"],
        p_value=rank["p_value"] if n_circuits >= FEWEST_FOR_P else None,
    )


def _jobs(subject: Subject) -> Iterator[Job]:
    """Every kind in the mode's own direction, with ``thorough`` in both."""
    directions = subject.directions if subject.settings.thorough else subject.directions[:1]
    for kind, reverse in product(KINDS, directions):
        label = f"{subject.label('resample', reverse)}, {kind} random circuits"
        yield Job(label, partial(_compared, subject, kind, reverse))
    yield Job("random circuits", partial(_enough, subject))


def _compared(subject: Subject, kind: str, reverse: bool) -> list[RandomComparison]:
    settings, runner = subject.settings, subject.runner(reverse=reverse)
    return [
        compare_with_random(
            runner, subject.circuit, settings.metric, settings.n_random, settings.seed, kind, subject.scores
        )
    ]


def _enough(subject: Subject) -> tuple[()]:
    check_enough(subject.settings.n_random)
    return ()


WORK = Work((RandomComparison,), _jobs)
