"""A circuit as EAP-IG's and MIB's JSON: ``cfg``, ``nodes`` and ``edges``, with memcirc's own statement beside them.

EAP-IG's ``Graph.from_json`` builds the graph from ``cfg`` and reads ``nodes[name]["in_graph"]``,
``edges[name]["score"]`` and ``edges[name]["in_graph"]``; a further key is passed over. A graph that it does not know
(grouped keys and values, no MLPs) says so in ``cfg`` by two keys of ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memcirc.artifacts import read_json, write_json
from memcirc.checkpoints import refuse_pointer
from memcirc.circuit import Circuit
from memcirc.config import check_count, shortened
from memcirc.graph import INPUT, LOGITS, Graph, GraphShape, node_of

MOST = 1024


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
        shape = self.graph.shape
        own: dict[str, Any] = {} if shape.n_kv_heads == shape.n_heads else {"n_kv_heads": shape.n_kv_heads}
        own |= {} if shape.has_mlp else {"attn_only": True}
        return {
            "n_layers": shape.n_layers,
            "n_heads": shape.n_heads,
            "parallel_attn_mlp": shape.parallel,
            "d_model": self.d_model,
            **own,
        }


def ends_of(edge: str) -> tuple[str, str]:
    """The two nodes of an edge: ``a0.h1->a1.h2<q>`` goes from ``a0.h1`` to ``a1.h2``."""
    source, _, destination = edge.partition("->")
    return source, node_of(destination)


def save_circuit(path: Path, scored: ScoredCircuit, statement: Mapping[str, Any] | None = None) -> None:
    """Write a circuit with the scores of all edges, atomically; the statement beside the circuit's own origin."""
    edges = zip(scored.graph.edges, scored.scores.tolist(), scored.mask.tolist(), strict=True)
    write_json(
        path,
        {
            "cfg": scored.cfg,
            "nodes": {name: {"in_graph": inside} for name, inside in scored.nodes.items()},
            "edges": {name: {"score": score, "in_graph": inside} for name, score, inside in edges},
            "memcirc": {**scored.circuit.origin, **(statement or {}), "n_edges": len(scored.circuit)},
        },
    )


def load_circuit(path: str | Path) -> tuple[Circuit, Graph]:
    """Read a circuit file, ours, EAP-IG's or MIB's.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of a circuit, or an edge that its graph does not have.
    """
    circuit, graph, _ = _read(Path(path))
    return circuit, graph


def read_scored(path: Path) -> ScoredCircuit:
    """A circuit's file with the scores of all edges.

    Raises:
        FileNotFoundError, ValueError: as :func:`load_circuit`, or no width or scores in it.
    """
    circuit, graph, content = _read(path)
    try:
        scores = torch.tensor([float(content["edges"][name]["score"]) for name in graph.edges], dtype=torch.float64)
        return ScoredCircuit(graph, circuit, scores, int(content["cfg"]["d_model"]))
    except (KeyError, TypeError) as missing:
        raise ValueError(f"{path}: no score or width in it ({missing!r})") from None


def _read(path: Path) -> tuple[Circuit, Graph, dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"no circuit at {path}")
    refuse_pointer(path)
    content = read_json(path)
    try:
        cfg, edges = content["cfg"], content["edges"]
        shape = GraphShape(
            n_layers=_count(cfg, "n_layers"),
            n_heads=_count(cfg, "n_heads"),
            n_kv_heads=_count(cfg, "n_kv_heads" if "n_kv_heads" in cfg else "n_heads"),
            has_mlp=not cfg.get("attn_only", False),
            parallel=cfg.get("parallel_attn_mlp", False),
        )
        graph = Graph(shape)
        names = [name for name, edge in edges.items() if _is_in(name, edge["in_graph"])]
        origin = dict(content.get("memcirc", {}))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: not a circuit in EAP-IG's or MIB's JSON ({error!r})") from None
    graph.indices(names)
    return Circuit(frozenset(names), origin), graph, content


def _count(cfg: Mapping[str, Any], name: str) -> int:
    """A number of layers or heads, of which no graph that fits into memory has more than ``MOST``."""
    check_count(name, cfg[name])
    if cfg[name] > MOST:
        raise ValueError(f"{name} is {cfg[name]}; at most {MOST} is accepted")
    return int(cfg[name])


def _is_in(name: str, in_graph: Any) -> bool:
    """Whether an edge is in the circuit: true or false, or 1 or 0; text that says so is always true to Python."""
    if in_graph not in (True, False):
        raise ValueError(f"in_graph of {name} is {shortened(in_graph)}; true or false is needed")
    return bool(in_graph)
