"""AutoCircuit's prune scores: a tensor for each module of destinations, in a file of its ``save_cache`` (``.pkl``) or
ours (``.pt``).

``blocks.{l}.hook_{q,k,v}_input`` [head, source], ``blocks.{l}.hook_mlp_in`` [source] and, for the logits, the last
``hook_resid_post`` [source]. The shapes say what the graph is.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memcirc.circuit_file import MOST, CircuitFile
from memcirc.config import shortened
from memcirc.graph import Graph, GraphShape

HEADS = (("q_input", "query"), ("k_input", "key"), ("v_input", "value"))


def modules_of(graph: Graph) -> Iterator[tuple[str, slice, tuple[int, ...]]]:
    """AutoCircuit's modules in the order of reading: name, the destinations in it, and the shape of its tensor."""
    n_heads = graph.shape.n_heads
    for layer in range(graph.shape.n_layers):
        rows = graph.rows(layer)
        for hook, kind in HEADS:
            part: slice = getattr(rows, kind)
            yield f"blocks.{layer}.hook_{hook}", part, (n_heads, graph.n_visible[part.start])
        if graph.shape.has_mlp:
            yield f"blocks.{layer}.hook_mlp_in", slice(rows.mlp, rows.mlp + 1), (graph.n_visible[rows.mlp],)
    last = len(graph.destinations) - 1
    yield f"blocks.{graph.shape.n_layers - 1}.hook_resid_post", slice(last, last + 1), (graph.n_visible[last],)


def to_prune_scores(graph: Graph, values: Tensor) -> dict[str, Tensor]:
    """Scores of all edges, float [n_edges], in AutoCircuit's form."""
    matrix = graph.to_matrix(values)
    return {
        name: matrix[rows, : shape[-1]].reshape(shape).clone().contiguous() for name, rows, shape in modules_of(graph)
    }


def are_prune_scores(content: Any) -> bool:
    """Whether a file's content looks like prune scores."""
    return isinstance(content, dict) and any(str(key).endswith("hook_resid_post") for key in content)


def from_prune_scores(path: Path, content: Mapping[str, Any]) -> CircuitFile:
    """Prune scores with the circuit of the edges whose scores are not 0, as they are exported.

    Args:
        path: what a message names.

    Raises:
        ValueError: not those of a model of whole blocks, or scores of positions one by one.
    """
    graph = Graph(_shape(path, content))
    expected = {name: (rows, shape) for name, rows, shape in modules_of(graph)}
    if content.keys() != expected.keys():
        odd = sorted(content.keys() ^ expected.keys())[0]
        raise ValueError(f"{path}: not AutoCircuit's prune scores of a whole model ({odd} is missing, or is no module)")
    matrix = torch.zeros(len(graph.destinations), len(graph.sources), dtype=torch.float64)
    for name, (rows, shape) in expected.items():
        tensor = content[name]
        if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shape:
            found = tuple(tensor.shape) if isinstance(tensor, Tensor) else shortened(tensor)
            raise ValueError(f"{path}: {name} has the shape {found}, where {shape} is needed; scores of positions "
                             "one by one are not read")  # fmt: skip
        matrix[rows, : shape[-1]] = tensor.detach().double().reshape(-1, shape[-1])
    values = graph.from_matrix(matrix)
    scores = dict(zip(graph.edges, values.tolist(), strict=True))
    return CircuitFile(graph, frozenset(name for name, score in scores.items() if score != 0), scores, {})


def _shape(path: Path, content: Mapping[str, Any]) -> GraphShape:
    layers = [int(found[1]) for key in content if (found := re.fullmatch(r"blocks\.(\d{1,4})\.hook_q_input", str(key)))]
    first = content.get("blocks.0.hook_q_input")
    if not layers or not isinstance(first, Tensor) or first.ndim != 2 or not 0 < len(first) <= MOST:
        raise ValueError(f"{path}: no blocks.0.hook_q_input [head, source] in it; AutoCircuit's prune scores have one")
    mlp = content.get("blocks.0.hook_mlp_in")
    parallel = isinstance(mlp, Tensor) and mlp.shape[-1:] == (1,)
    return GraphShape(min(max(layers) + 1, MOST), len(first), len(first), mlp is not None, parallel)
