"""What a set of circuits needs computed, and from which sums.

Say that an edge *carries* the run's own output c_s where it is not patched: in ``tree`` mode the circuit's edges, in
``edge`` mode all others. With carried edges K, P_d the total of the ablation values and delta_s = c_s - p_s, every
branch input is

    x_d = P_d + sum over carried s of delta_s = P_d + T_d - sum over the others of delta_s,

T_d being the sum of all delta_s before d.

1. Nodes at rest: where a node whose inputs are all patched outputs its ablation value (always under ``resample``, by
   choice with ``dangling="prune"``), delta is 0: edges from it are dropped, and what then reads nothing is at rest too.
2. Dead nodes: what no path of carried edges leads from to the logits is not computed.
3. Of the two sums the one with fewer terms is taken. Destinations that carry the same edges share one input.

Several circuits are planned together: a node is computed if one of them needs it, and an input is shared if it is the
same in all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from memcirc.graph import Graph


@dataclass(frozen=True, eq=False)
class Inputs:
    """The distinct inputs of some destinations, those with few terms first. ``of`` maps a destination's index to its
    input; ``signs`` int8 [circuit, input, src] are the coefficients of the sources' deltas; ``total`` tells which
    inputs start from T_d."""

    of: dict[int, int]
    signs: np.ndarray
    total: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.total)

    def same(self, other: "Inputs") -> bool:
        """Whether both are the same sums, for the same destinations."""
        return self.of == other.of and self.total == other.total and np.array_equal(self.signs, other.signs)


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """Inputs of a layer's destinations. Queries, keys and values share one group, and a parallel MLP is of it too;
    in the last layer, whose queries are needed at fewer positions, keys and values stand apart."""

    key_value: Inputs
    query: Inputs
    mlp: Inputs

    def same(self, other: "LayerInputs") -> bool:
        """Whether all groups are the same."""
        return all(getattr(self, name).same(getattr(other, name)) for name in ("key_value", "query", "mlp"))


@dataclass(frozen=True, eq=False)
class Plan:
    """Sources, each bool [src]: ``computed``; ``referenced``, named alone in a sum; ``summed``, part of a T_d. And the
    inputs of all destinations."""

    graph: Graph
    n_circuits: int
    computed: np.ndarray
    referenced: np.ndarray
    summed: np.ndarray
    layers: tuple[LayerInputs, ...]
    final: Inputs

    def layers_shared(self, other: "Plan") -> int:
        """How many layers, from the first on, both compute alike and from the same sources. The last is not counted: it
        leaves the read positions alone of what was written before."""
        shared = 0
        while shared < len(self.layers) - 1 and self.layers[shared].same(other.layers[shared]):
            shared += 1
        while shared and not self._same_before(self.graph.heads(shared).start, other):
            shared -= 1
        return shared

    def _same_before(self, n_sources: int, other: "Plan") -> bool:
        return np.array_equal(self.computed[:n_sources], other.computed[:n_sources]) and np.array_equal(
            self.summed[:n_sources], other.summed[:n_sources]
        )


def plan(graph: Graph, carried: np.ndarray, rests: bool, coupled: bool = False) -> Plan:
    """Plan a run of circuits given by what they carry, bool [circuit, dst, src].

    Args:
        rests: a node without carried inputs outputs its ablation value.
        coupled: what a head writes depends on what all heads of its layer read, so that they are computed, or at rest,
            together (:attr:`memcirc.decoder.weights.Attention.coupled`).
    """
    carried = carried.copy()
    if rests:
        _drop_resting(graph, carried, coupled)
    computed = np.asarray(_drop_dead(graph, carried, coupled).any(0))
    layers = tuple(_layer_inputs(graph, carried, computed, layer) for layer in range(graph.shape.n_layers))
    final = _distinct(graph, carried, computed, [len(graph.destinations) - 1])
    referenced, summed = np.zeros_like(computed), np.zeros_like(computed)
    for group in (final, *(group for layer in layers for group in (layer.key_value, layer.query, layer.mlp))):
        referenced |= (group.signs != 0).any((0, 1))
        for destination, index in group.of.items():
            if group.total[index]:
                summed[: graph.n_visible[destination]] = True
    return Plan(graph, len(carried), computed, referenced, summed & computed, layers, final)


def in_turn(plans: Sequence[Plan]) -> list[tuple[Plan, int]]:
    """Plans that are run one after the other, each with the layers that it shares with the one before. Of two that
    share layers, both keep what one of them names alone among the sources of these, so that it serves either."""
    shared = [0, *(after.layers_shared(before) for before, after in pairwise(plans))][: len(plans)]
    n_sources = [each.graph.heads(layers).start if layers else 0 for each, layers in zip(plans, shared, strict=True)]
    named = [each.referenced.copy() for each in plans]
    for i in range(len(plans) - 1, 0, -1):
        named[i - 1][: n_sources[i]] |= named[i][: n_sources[i]]
    for i in range(1, len(plans)):
        named[i][: n_sources[i]] |= named[i - 1][: n_sources[i]]
    kept = [replace(each, referenced=alone & each.computed) for each, alone in zip(plans, named, strict=True)]
    return list(zip(kept, shared, strict=True))


def _layer_inputs(graph: Graph, carried: np.ndarray, computed: np.ndarray, layer: int) -> LayerInputs:
    rows = graph.rows(layer)
    beside = [rows.mlp] if graph.shape.has_mlp and graph.shape.parallel else []
    after = [rows.mlp] if graph.shape.has_mlp and not graph.shape.parallel else []
    if layer < graph.shape.n_layers - 1:
        key_value = query = _distinct(graph, carried, computed, [*range(rows.query.start, rows.value.stop), *beside])
    else:
        key_value = _distinct(graph, carried, computed, [*range(rows.key.start, rows.value.stop)])
        query = _distinct(graph, carried, computed, [*range(rows.query.start, rows.query.stop), *beside])
    return LayerInputs(key_value, query, query if beside else _distinct(graph, carried, computed, after))


def _drop_resting(graph: Graph, carried: np.ndarray, coupled: bool) -> None:
    """Step 1, from the first layer up, each circuit on its own."""
    groups = graph.shape.n_heads // graph.shape.n_kv_heads
    live = np.zeros((len(carried), carried.shape[2]), dtype=bool)
    live[:, 0] = True
    for layer in range(graph.shape.n_layers):
        rows, heads = graph.rows(layer), graph.heads(layer)
        reads = np.asarray((carried[:, rows.query.start : rows.value.stop] & live[:, None]).any(2))
        n_q, n_kv = graph.shape.n_heads, graph.shape.n_kv_heads
        grouped = reads[:, n_q : n_q + n_kv] | reads[:, n_q + n_kv :]
        live[:, heads] = reads[:, :n_q] | grouped.repeat(groups, axis=1)
        if coupled:
            live[:, heads] = live[:, heads].any(1, keepdims=True)
        if graph.shape.has_mlp:
            live[:, heads.stop] = (carried[:, rows.mlp] & live).any(1)
    carried &= live[:, None]


def _drop_dead(graph: Graph, carried: np.ndarray, coupled: bool) -> np.ndarray:
    """Step 2, from the logits down, each circuit on its own; returns which sources are needed, bool [circuit, src]."""
    groups = graph.shape.n_heads // graph.shape.n_kv_heads
    needed = carried[:, -1].copy()
    for layer in reversed(range(graph.shape.n_layers)):
        rows, heads = graph.rows(layer), graph.heads(layer)
        if graph.shape.has_mlp:
            carried[:, rows.mlp] &= needed[:, heads.stop, None]
            needed |= carried[:, rows.mlp]
        if coupled:
            needed[:, heads] = needed[:, heads].any(1, keepdims=True)
        wanted = needed[:, heads]
        wanted_groups = np.asarray(wanted.reshape(len(wanted), -1, groups).any(2))
        carried[:, rows.query] &= wanted[:, :, None]
        carried[:, rows.key] &= wanted_groups[:, :, None]
        carried[:, rows.value] &= wanted_groups[:, :, None]
        needed |= carried[:, rows.query.start : rows.value.stop].any(1)
    return needed


def _distinct(graph: Graph, carried: np.ndarray, computed: np.ndarray, members: list[int]) -> Inputs:
    """Step 3 for the destinations of one group; those that carry nothing in any circuit have no input of their own."""
    found: dict[bytes, list[int]] = {}
    for index in np.nonzero(carried[:, members].any((0, 2)))[0].tolist():
        found.setdefault(carried[:, members[index]].tobytes(), []).append(members[index])
    inputs = []
    for shared in found.values():
        rows = carried[:, shared[0]]
        others = computed & ~rows
        others[:, graph.n_visible[shared[0]] :] = False
        total = bool(others.sum() < rows.sum())
        signs = -others.astype(np.int8) if total else rows.astype(np.int8)
        inputs.append((np.count_nonzero(signs), total, signs, shared))
    inputs.sort(key=lambda each: each[0])
    stacked = np.zeros((len(carried), len(inputs), carried.shape[2]), dtype=np.int8)
    for index, (_, _, signs, _) in enumerate(inputs):
        stacked[:, index] = signs
    of = {destination: index for index, (_, _, _, shared) in enumerate(inputs) for destination in shared}
    return Inputs(of, stacked, tuple(total for _, total, _, _ in inputs))
