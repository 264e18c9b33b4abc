"""A circuit: an immutable set of edges, with what it came from."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from memcirc.config import LONGEST_REPR, cut
from memcirc.graph import Graph
from memcirc.models import Model
from memcirc.origin import check_fits
from memcirc.published import published_circuit
from memcirc.showing import Shown


@dataclass(frozen=True)
class Circuit(Shown):
    """A set of edges by name (``input->a0.h1<q>``).

    ``origin`` says where it came from: method, objective, selection, data fingerprint, ...

    Raises:
        ValueError: a single string, or anything that is no name, in place of names.
    """

    edges: frozenset[str]
    origin: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", edge_names(self.edges))

    def __repr__(self) -> str:
        facts = [f"{key}={value!r}" for key, value in self.origin.items() if isinstance(value, str | int | float)]
        told = ", ".join([f"{len(self)} edges", *facts])
        return f"Circuit({cut(told, LONGEST_REPR)})"

    @classmethod
    def from_edges(cls, names: Iterable[str], **origin: Any) -> "Circuit":
        """A circuit of the given edge names; they are checked against a graph when it is run."""
        return cls(edge_names(names), origin)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        task: str | None = None,
        mode: str | None = None,
        *,
        model: Model | None = None,
        revision: str | None = None,
    ) -> "Circuit":
        """A circuit that ``memcirc publish`` has published.

        Args:
            name: a folder, or the name of a repository of the hub, OWNER/NAME.
            task, mode: which of its circuits; default: the first.
            model: the model that it is to be a circuit of.
            revision: of a repository: a branch, tag or commit.

        Raises:
            FileNotFoundError: no such folder and no such repository, or one that holds no published circuits.
            ValueError: no such task or mode in it, a file outside of it, or a circuit of another model than the one
                given (which names both).
        """
        if not isinstance(name, str | Path):
            raise ValueError(f"a folder, or the name of a repository of the hub, is needed, not {name!r:.60}")
        if model is not None and not hasattr(model, "weights"):
            raise ValueError(f"model is {model!r:.60}; a loaded model is needed, as load_model gives one")
        found = published_circuit(name, task, mode, revision)
        if model is not None:
            check_fits(model, found.graph, found.origin, f"{name}: a circuit")
        return cls(found.edges, found.origin)

    def __len__(self) -> int:
        return len(self.edges)

    def __contains__(self, name: object) -> bool:
        return name in self.edges

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.edges))

    def mask(self, graph: Graph) -> Bool[Tensor, " n_edges"]:
        """In the graph's order, True for the circuit's edges; ValueError for an edge it lacks."""
        return edge_mask(graph, self.edges)


def edge_names(names: Iterable[str]) -> frozenset[str]:
    """Names of edges as a set; ValueError for a single string, or anything that is no name."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ValueError(f"a collection of edge names is needed, not the single {type(names).__name__} {names!r:.60}")
    found = frozenset(names)
    for name in found:
        if not isinstance(name, str):
            raise ValueError(f"{name!r:.60} is no name of an edge, such as input->a0.h1<q>")
    return found


def edge_mask(graph: Graph, circuit: "Circuit | Collection[str]") -> Bool[Tensor, " n_edges"]:
    """In canonical order, the edges of a circuit or a collection of edge names.

    Raises:
        ValueError: an edge that the graph does not have (with the nearest names), or a string in place of a set.
    """
    mask = torch.zeros(graph.n_edges, dtype=torch.bool)
    mask[graph.indices(circuit.edges if isinstance(circuit, Circuit) else edge_names(circuit))] = True
    return mask


def connected(graph: Graph, mask: Bool[Tensor, " n_edges"]) -> Bool[Tensor, " n_edges"]:
    """The edges of ``mask`` that lie on a path of it from ``input`` to ``logits``."""
    matrix = graph.to_matrix(mask).cpu().numpy()
    nodes = list(graph.inputs_of.values())
    n_sources = len(graph.sources)
    reached = np.zeros(n_sources + 1, dtype=bool)
    reached[0] = True
    for rank, inputs in enumerate(nodes[1:], start=1):
        reached[rank] = (matrix[inputs] & reached[:n_sources]).any()
    leads = np.zeros(n_sources + 1, dtype=bool)
    leads[n_sources] = True
    into = np.zeros(len(graph.destinations), dtype=bool)
    for rank in range(n_sources, 0, -1):
        if leads[rank]:
            into[nodes[rank]] = True
            leads[:n_sources] |= matrix[nodes[rank]].any(0)
    return graph.from_matrix(torch.from_numpy(matrix & reached[None, :n_sources] & into[:, None]))
