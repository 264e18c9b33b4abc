"""What a file says of a circuit, before a circuit is made of it; and the first of such files, EAP-IG's and MIB's JSON.

The JSON holds ``cfg`` (the graph's shape), ``nodes`` and ``edges`` by name, every edge with ``in_graph`` and mostly a
``score``; a key ``memcirc`` beside them is ours. A graph that EAP-IG does not know (grouped keys and values, no MLPs)
says so in ``cfg`` by two keys of ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memcirc.artifacts import read_json
from memcirc.checkpoints import refuse_pointer
from memcirc.config import check_count, shortened
from memcirc.graph import Graph, GraphShape
from memcirc.schema import NewerFile, check_schema

MOST = 1024


@dataclass(frozen=True)
class CircuitFile:
    """A circuit's graph and edges; ``scores`` by edge: of all, of the circuit's alone, or of none, as the file has
    them; what it states of its ``origin``; the width of its model, where it says that."""

    graph: Graph
    edges: frozenset[str]
    scores: Mapping[str, float]
    origin: Mapping[str, Any]
    d_model: int | None = None

    def all_scores(self, path: Path) -> Tensor:
        """float64 [n_edges]: the score of every edge.

        Args:
            path: what a message names.

        Raises:
            ValueError: an edge has none.
        """
        lacking = [name for name in self.graph.edges if name not in self.scores]
        if lacking:
            raise ValueError(
                f"{path}: {len(lacking)} of {self.graph.n_edges} edges have no score in it, {lacking[0]} among them"
            )
        return torch.tensor([self.scores[name] for name in self.graph.edges], dtype=torch.float64)


def cfg_of(shape: GraphShape) -> dict[str, Any]:
    """A graph's shape as EAP-IG and MIB name it, with what they do not know."""
    own: dict[str, Any] = {} if shape.n_kv_heads == shape.n_heads else {"n_kv_heads": shape.n_kv_heads}
    own |= {} if shape.has_mlp else {"attn_only": True}
    return {"n_layers": shape.n_layers, "n_heads": shape.n_heads, "parallel_attn_mlp": shape.parallel, **own}


def shape_of(cfg: Mapping[str, Any]) -> GraphShape:
    """The shape that :func:`cfg_of` gave, or EAP-IG.

    Raises:
        KeyError, ValueError: a number that is missing, or no count of layers or heads.
    """
    return GraphShape(
        n_layers=_count(cfg, "n_layers"),
        n_heads=_count(cfg, "n_heads"),
        n_kv_heads=_count(cfg, "n_kv_heads" if "n_kv_heads" in cfg else "n_heads"),
        has_mlp=not cfg.get("attn_only", False),
        parallel=bool(cfg.get("parallel_attn_mlp", False)),
    )


def width_of(cfg: Mapping[str, Any]) -> int | None:
    """The width of a residual stream that is said beside a shape; None where none is.

    Raises:
        ValueError: it is no count.
    """
    if cfg.get("d_model") is None:
        return None
    check_count("d_model", cfg["d_model"])
    return int(cfg["d_model"])


def read_circuit_json(path: Path) -> CircuitFile:
    """A circuit of ours, EAP-IG's or MIB's in JSON.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of a circuit, or a newer memcirc's; an edge that its graph does not have; parts of nodes.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no circuit at {path}")
    refuse_pointer(path)
    content = read_json(path)
    try:
        check_schema(content, path)
        cfg, edges = content["cfg"], content["edges"]
        graph = Graph(shape_of(cfg))
        inside = frozenset(name for name, edge in edges.items() if _is_in(name, edge["in_graph"]))
        scores = {name: float(edge["score"]) for name, edge in edges.items() if edge.get("score") is not None}
        _refuse_neurons(content.get("nodes", {}))
        origin, width = dict(content.get("memcirc", {})), width_of(cfg)
    except NewerFile:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: not a circuit in EAP-IG's or MIB's JSON ({error!r})") from None
    graph.indices(inside)
    return CircuitFile(graph, inside, scores, origin, width)


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


def _refuse_neurons(nodes: Mapping[str, Any]) -> None:
    """Raises ValueError for a circuit that has some neurons of a node and not others: edges do not say that."""
    for name, node in nodes.items():
        if node.get("in_graph") and not all(node.get("neurons", ())):
            raise ValueError(f"node {name} is in it with a part of its neurons; circuits of edges are read")
