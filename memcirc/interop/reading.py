"""Circuits and scores from the files of others: EAP-IG's and MIB's (JSON, ``.pt``), AutoCircuit's prune scores
(``.pkl``, ``.pt``), and our own GraphML, DOT and CSV. What a file is, its first bytes say, not its name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memcirc.circuit import Circuit
from memcirc.circuit_file import CircuitFile, read_circuit_json, shape_of, width_of
from memcirc.graph import Graph
from memcirc.interop.graph_files import COLUMNS, read_csv, read_dot, read_graphml
from memcirc.interop.mib import ScoredCircuit
from memcirc.interop.prune_scores import are_prune_scores, from_prune_scores
from memcirc.interop.tensors import plain_content
from memcirc.models import Model
from memcirc.origin import check_fits

READERS = {
    b"PK": lambda path: _read_tensors(path),
    b"\x80": lambda path: _read_tensors(path),
    b"<": read_graphml,
    b"digraph": read_dot,
    ",".join(COLUMNS).encode(): read_csv,
}
"""By the first bytes of a file; any other is JSON, or nothing that is known."""
NEURONS = ("neurons_in_graph", "neurons_scores")


def load_circuit(path: str | Path, model: Model | None = None) -> tuple[Circuit, Graph]:
    """Read a circuit's file, ours, EAP-IG's, MIB's or AutoCircuit's, with the graph that its edges are of.

    Args:
        model: the model that it is to be a circuit of.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of a circuit; an edge that its graph does not have; a pickle with anything but plain
            tensors and values in it; a circuit of another model than the one given.
    """
    found = read_circuit_file(Path(path))
    if model is not None:
        check_fits(model, found.graph, found.origin, f"{path}: a circuit")
    return Circuit(found.edges, found.origin), found.graph


def read_scored(path: Path) -> ScoredCircuit:
    """A circuit's file with the scores of all edges and the width of its model.

    Raises:
        FileNotFoundError, ValueError: as :func:`load_circuit`, or no width or scores in it.
    """
    found = read_circuit_file(path)
    if found.d_model is None:
        raise ValueError(f"{path}: no width of a model (cfg's d_model) in it")
    return ScoredCircuit(found.graph, Circuit(found.edges, found.origin), found.all_scores(path), found.d_model)


def read_circuit_file(path: Path) -> CircuitFile:
    """What a file says of a circuit, whichever kind it is; raises as :func:`load_circuit`."""
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(64).removeprefix(b"\xef\xbb\xbf")
        for first, read in READERS.items():
            if start.startswith(first):
                return read(path)
    return read_circuit_json(path)


def _read_tensors(path: Path) -> CircuitFile:
    content = plain_content(path)
    if are_prune_scores(content):
        return from_prune_scores(path, content)
    try:
        return _from_mib(content)
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: neither a circuit of MIB's nor AutoCircuit's prune scores ({error!r})") from None


def _from_mib(content: Mapping[str, Any]) -> CircuitFile:
    """EAP-IG's and MIB's tensors [source, destination]; scores may be missing, as of their binary circuits."""
    graph = Graph(shape_of(content["cfg"]))
    for name, own in (("src_nodes", graph.sources), ("dst_nodes", graph.destinations)):
        if tuple(content[name]) != own:
            raise ValueError(f"{name} are not the {len(own)} of its cfg, in their order")
    if any(name in content for name in NEURONS):
        raise ValueError("it has neurons one by one; circuits of edges are read")
    inside = graph.from_matrix(_matrix(content["edges_in_graph"], graph)).bool()
    names = frozenset(graph.edges[i] for i in inside.nonzero()[:, 0].tolist())
    scores: dict[str, float] = {}
    if "edges_scores" in content:
        values = graph.from_matrix(_matrix(content["edges_scores"], graph).double())
        scores = dict(zip(graph.edges, values.tolist(), strict=True))
    return CircuitFile(graph, names, scores, dict(content.get("memcirc", {})), width_of(content["cfg"]))


def _matrix(tensor: Tensor, graph: Graph) -> Tensor:
    """[dst, src] of a tensor [src, dst]."""
    if tuple(tensor.shape) != (len(graph.sources), len(graph.destinations)):
        raise ValueError(f"edges of shape {tuple(tensor.shape)} in a graph of another one")
    return torch.as_tensor(tensor).T
