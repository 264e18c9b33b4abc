"""Circuits as files of EAP-IG and MIB: ``cfg``, ``nodes`` and ``edges``, with memcirc's own statement beside them.

Their readers take ``nodes`` as name -> is it in the circuit, and ``edges`` as name -> ``{score, in_graph}``; a further
key is passed over.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memcirc.artifacts import read_json, write_json
from memcirc.circuit import Circuit
from memcirc.graph import INPUT, LOGITS, Graph, GraphShape


def save_circuit(
    path: Path,
    graph: Graph,
    circuit: Circuit,
    scores: Mapping[str, float],
    d_model: int,
    statement: Mapping[str, Any],
) -> None:
    """Write a circuit with the scores of all edges, atomically."""
    shape = graph.shape
    touched = {INPUT, LOGITS} if len(circuit) else set()
    touched |= {node for name in circuit.edges for node in _ends(name)}
    write_json(
        path,
        {
            "cfg": {
                "n_layers": shape.n_layers,
                "n_heads": shape.n_heads,
                "n_kv_heads": shape.n_kv_heads,
                "attn_only": not shape.has_mlp,
                "parallel_attn_mlp": shape.parallel,
                "d_model": d_model,
            },
            "nodes": {name: name in touched for name in (*graph.sources, LOGITS)},
            "edges": {name: {"score": scores[name], "in_graph": name in circuit} for name in graph.edges},
            "memcirc": {**dict(circuit.origin), **statement, "n_edges": len(circuit)},
        },
    )


def _ends(edge: str) -> tuple[str, str]:
    source, destination = edge.split("->")
    return source, destination.split("<")[0]


def load_circuit(path: str | Path) -> tuple[Circuit, Graph]:
    """Read a circuit file, ours, EAP-IG's or MIB's.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of a circuit, or an edge that its graph does not have.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no circuit at {path}")
    content = read_json(path)
    try:
        cfg, edges = content["cfg"], content["edges"]
        heads = cfg["n_heads"]
        shape = GraphShape(
            n_layers=cfg["n_layers"],
            n_heads=heads,
            n_kv_heads=cfg.get("n_kv_heads", heads),
            has_mlp=not cfg.get("attn_only", False),
            parallel=cfg.get("parallel_attn_mlp", False),
        )
        names = [name for name, edge in edges.items() if edge["in_graph"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a circuit in EAP-IG's or MIB's JSON ({error!r})") from None
    graph = Graph(shape)
    graph.indices(names)
    return Circuit.from_edges(names, **content.get("memcirc", {})), graph
