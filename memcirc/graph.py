"""The residual graph: which component reads which, under which name, at which index.

Every component writes to the residual stream and reads the sum of what was written before it, so a model is a
graph whose edges run from each source to every later destination (Elhage et al. 2021). With L layers of H heads:

1. sources, in the order of writing: ``input``, then per layer the heads ``a{l}.h{h}`` and the MLP ``m{l}``;
2. destinations, in the order of reading: per layer the heads' ``<q>``, ``<k>``, ``<v>`` inputs and ``m{l}``,
   at the end ``logits``;
3. an edge for every source strictly before a destination: the MLP of a sequential block reads the heads of its own
   layer, that of a parallel block (GPT-NeoX, GPT-J) does not.

The sources of a destination are therefore always a prefix of the source order, and one number for each
destination (``n_visible``) describes the whole graph. Names are those of EAP-IG and MIB.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memcirc.decoder.families import family_of

LOGITS = "logits"
INPUT = "input"


@dataclass(frozen=True)
class GraphShape:
    """The five facts of an architecture that decide its graph. ``n_kv_heads`` is below ``n_heads`` where keys and
    values are kept grouped."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    has_mlp: bool = True
    parallel: bool = False


@dataclass(frozen=True)
class LayerRows:
    """Indices of a layer's destinations: its queries, keys, values and MLP."""

    query: slice
    key: slice
    value: slice
    mlp: int


@dataclass(frozen=True)
class Graph:
    """Nodes, edges and index maps of one architecture; it holds no activations.

    The canonical order of edges, which breaks every tie in memcirc, is by source, then by destination.
    """

    shape: GraphShape

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the nodes that write, in the order of writing."""
        names = [INPUT]
        for layer in range(self.shape.n_layers):
            names += [f"a{layer}.h{head}" for head in range(self.shape.n_heads)]
            names += [f"m{layer}"] * self.shape.has_mlp
        return tuple(names)

    @cached_property
    def _reads(self) -> tuple[tuple[str, int], ...]:
        """Each destination's name with the number of sources it reads."""
        shape = self.shape
        width = shape.n_heads + shape.has_mlp
        reads: list[tuple[str, int]] = []
        for layer in range(shape.n_layers):
            before = 1 + layer * width
            for letter, heads in (("q", shape.n_heads), ("k", shape.n_kv_heads), ("v", shape.n_kv_heads)):
                reads += [(f"a{layer}.h{head}<{letter}>", before) for head in range(heads)]
            if shape.has_mlp:
                reads.append((f"m{layer}", before if shape.parallel else before + shape.n_heads))
        reads.append((LOGITS, 1 + shape.n_layers * width))
        return tuple(reads)

    @cached_property
    def destinations(self) -> tuple[str, ...]:
        """Names of the inputs that read, in the order of reading."""
        return tuple(name for name, _ in self._reads)

    @cached_property
    def n_visible(self) -> tuple[int, ...]:
        """For each destination, how many sources (a prefix of their order) it reads."""
        return tuple(visible for _, visible in self._reads)

    def rows(self, layer: int) -> LayerRows:
        """Where a layer's destinations stand in the order of reading."""
        shape = self.shape
        q = layer * (shape.n_heads + 2 * shape.n_kv_heads + shape.has_mlp)
        k = q + shape.n_heads
        v = k + shape.n_kv_heads
        return LayerRows(slice(q, k), slice(k, v), slice(v, v + shape.n_kv_heads), v + shape.n_kv_heads)

    def heads(self, layer: int) -> slice:
        """Where a layer's heads stand in the order of writing; its MLP follows."""
        first = 1 + layer * (self.shape.n_heads + self.shape.has_mlp)
        return slice(first, first + self.shape.n_heads)

    @property
    def n_edges(self) -> int:
        return sum(self.n_visible)

    @cached_property
    def edge_source(self) -> Tensor:
        """int64 [n_edges]: the source index of each edge, in canonical order."""
        return torch.from_numpy(np.nonzero(self._present.T)[0])

    @cached_property
    def edge_destination(self) -> Tensor:
        """int64 [n_edges]: the destination index of each edge, in canonical order."""
        return torch.from_numpy(np.nonzero(self._present.T)[1])

    @cached_property
    def _present(self) -> np.ndarray:
        """bool [dst, src]: does the edge exist?"""
        return np.arange(len(self.sources))[None, :] < np.array(self.n_visible)[:, None]

    @cached_property
    def edges(self) -> tuple[str, ...]:
        """Names of all edges in canonical order, such as ``input->a0.h1<q>``."""
        pairs = zip(self.edge_source.tolist(), self.edge_destination.tolist(), strict=True)
        return tuple(f"{self.sources[src]}->{self.destinations[dst]}" for src, dst in pairs)

    @cached_property
    def _edge_index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.edges)}

    def index(self, name: str) -> int:
        """Position of an edge in the canonical order.

        Raises:
            ValueError: there is no such edge; the message offers the nearest names.
        """
        if name not in self._edge_index:
            near = difflib.get_close_matches(name, self.edges, n=3, cutoff=0.5)
            hint = f"; nearest: {', '.join(near)}" if near else ""
            raise ValueError(f"no edge {name!r} in this graph of {self.n_edges} edges{hint}")
        return self._edge_index[name]

    def indices(self, names: Sequence[str] | frozenset[str]) -> Tensor:
        """int64 [len(names)]: positions of several edges, sorted into canonical order."""
        return torch.tensor(sorted(self.index(name) for name in names), dtype=torch.int64)

    @cached_property
    def inputs_of(self) -> dict[str, list[int]]:
        """For each node in the order of writing, and ``logits`` at the end, the indices of its destinations. Keys and
        values that are shared by a group belong to every head of it."""
        inputs: dict[str, list[int]] = {name: [] for name in (*self.sources, LOGITS)}
        group = self.shape.n_heads // self.shape.n_kv_heads
        for index, destination in enumerate(self.destinations):
            node = node_of(destination)
            if destination.endswith(("<k>", "<v>")):
                layer, head = node.split(".h")
                for member in range(int(head) * group, (int(head) + 1) * group):
                    inputs[f"{layer}.h{member}"].append(index)
            else:
                inputs[node].append(index)
        return inputs

    def to_matrix(self, values: Tensor) -> Tensor:
        """[..., n_edges] in canonical order -> [..., dst, src], zero (False) where there is no edge."""
        matrix = values.new_zeros(*values.shape[:-1], len(self.destinations), len(self.sources))
        matrix[..., self.edge_destination.to(values.device), self.edge_source.to(values.device)] = values
        return matrix

    def from_matrix(self, matrix: Tensor) -> Tensor:
        """[..., dst, src] -> [..., n_edges] in canonical order."""
        return matrix[..., self.edge_destination.to(matrix.device), self.edge_source.to(matrix.device)]


def node_of(destination: str) -> str:
    """The node that an input belongs to: ``a0.h1<q>`` -> ``a0.h1``."""
    return destination.split("<")[0]


def graph_of(model_or_config: Any, grouped_kv: bool = False) -> Graph:
    """The graph of a loaded model, a ``HookedTransformer`` or a transformers configuration.

    Args:
        model_or_config: :class:`memcirc.models.Model`, ``HookedTransformer``, its config, or a transformers config.
        grouped_kv: of a transformers config with grouped-query attention: one K and one V destination for each
            group, not for each head. A loaded model carries the choice made when it was loaded.
    """
    weights = getattr(model_or_config, "weights", None)
    if weights is not None:
        return weights.graph  # type: ignore[no-any-return]
    config = getattr(model_or_config, "cfg", model_or_config)
    if hasattr(config, "n_heads") and hasattr(config, "attn_only"):
        return Graph(_shape_of_hooked(config))
    return Graph(_shape_of_transformers(config, grouped_kv))


def _shape_of_hooked(cfg: Any) -> GraphShape:
    grouped = cfg.n_key_value_heads is not None and not cfg.ungroup_grouped_query_attention
    return GraphShape(
        n_layers=cfg.n_layers,
        n_heads=cfg.n_heads,
        n_kv_heads=cfg.n_key_value_heads if grouped else cfg.n_heads,
        has_mlp=not cfg.attn_only,
        parallel=cfg.parallel_attn_mlp,
    )


def _shape_of_transformers(config: Any, grouped_kv: bool) -> GraphShape:
    for field in ("num_hidden_layers", "num_attention_heads"):
        if not hasattr(config, field):
            raise ValueError(f"{type(config).__name__} has no {field}: not the configuration of a transformer")
    heads, family = config.num_attention_heads, family_of(config)
    return GraphShape(
        n_layers=config.num_hidden_layers,
        n_heads=heads,
        n_kv_heads=family.kv_heads(config) if grouped_kv else heads,
        parallel=bool(family.parallel(config)),
    )
