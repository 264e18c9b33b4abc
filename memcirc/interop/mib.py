"""A circuit as EAP-IG's and MIB's JSON: ``cfg``, ``nodes`` and ``edges``, with memcirc's own statement beside them.

EAP-IG's ``Graph.from_json`` builds the graph from ``cfg`` and reads ``nodes[name]["in_graph"]``,
``edges[name]["score"]`` and ``edges[name]["in_graph"]``; a further key is passed over. A graph that it does not know
(grouped keys and values, no MLPs) says so in ``cfg`` by two keys of ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from memcirc.artifacts import write_json
from memcirc.circuit import Circuit
from memcirc.circuit_file import cfg_of
from memcirc.graph import INPUT, LOGITS, Graph, node_of
from memcirc.schema import with_schema


@dataclass(frozen=True, eq=False)
class ScoredCircuit:
    """A circuit with the scores of all edges, float [n_edges], and the width of its model."""

    graph: Graph
    circuit: Circuit
    scores: Tensor
    d_model: int

    @property
    def mask(self) -> Tensor:
        """bool [n_edges]: which edges are the circuit's."""
        return self.circuit.mask(self.graph)

    @property
    def nodes(self) -> dict[str, bool]:
        """Every source and ``logits``: does an edge of the circuit touch it?"""
        touched = {node for edge in self.circuit for node in ends_of(edge)}
        if len(self.circuit):
            touched |= {INPUT, LOGITS}
        return {name: name in touched for name in (*self.graph.sources, LOGITS)}

    @property
    def cfg(self) -> dict[str, Any]:
        """The graph's shape as EAP-IG and MIB name it."""
        return {**cfg_of(self.graph.shape), "d_model": self.d_model}


def ends_of(edge: str) -> tuple[str, str]:
    """The two nodes of an edge: ``a0.h1->a1.h2<q>`` goes from ``a0.h1`` to ``a1.h2``."""
    source, _, destination = edge.partition("->")
    return source, node_of(destination)


def save_circuit(path: Path, scored: ScoredCircuit, statement: Mapping[str, Any] | None = None) -> None:
    """Write a circuit with the scores of all edges, atomically; the statement beside the circuit's own origin."""
    edges = zip(scored.graph.edges, scored.scores.tolist(), scored.mask.tolist(), strict=True)
    content = {
        "cfg": scored.cfg,
        "nodes": {name: {"in_graph": inside} for name, inside in scored.nodes.items()},
        "edges": {name: {"score": score, "in_graph": inside} for name, score, inside in edges},
        "memcirc": {**scored.circuit.origin, **(statement or {}), "n_edges": len(scored.circuit)},
    }
    write_json(path, with_schema(content))
