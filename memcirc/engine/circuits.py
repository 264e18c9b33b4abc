"""Runs of planned circuits over one batch of pairs (:mod:`memcirc.engine.plan` has the algebra).

Layer by layer: 1. form the distinct inputs of its destinations from the ablation totals, the running total T and the
sources' deltas; 2. norm them, and send each through the columns of the heads that read it; a destination without an
input of its own is at rest and its query, key or value known; 3. attention of the heads that are needed; 4. the deltas
of what was computed, in d_model numbers only for sources named alone in a later sum.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.attention import attend, head_normed, head_outputs, split_heads, turned
from memcirc.decoder.mlp import feed
from memcirc.decoder.norm import Norm, normed
from memcirc.decoder.weights import Projection, Weights
from memcirc.decoder.workspace import Workspace
from memcirc.engine.batch import Prefix
from memcirc.engine.frame import Frame
from memcirc.engine.outputs import HeadWrites, neighbours, own_outputs
from memcirc.engine.plain import Heads
from memcirc.engine.plan import Inputs, Plan, in_turn
from memcirc.engine.values import Values


@dataclass(frozen=True, eq=False)
class Ready:
    """A batch made ready: what all circuits share. ``rest`` are the queries, keys and values of branches that read the
    ablation totals alone."""

    frame: Frame
    prefix: Prefix
    embed: Float[Tensor, "batch 1 pos d_model"]
    values: Values
    rest: Heads


def run_plans(
    weights: Weights, ready: Ready, plans: Sequence[Plan], workspace: Workspace
) -> Iterator[Float[Tensor, "batch circuit step d_model"]]:
    """The final residuals of each plan's circuits at the read positions, until the next. Layers that a plan shares with
    the one before are not run again."""
    turns, totals = in_turn(plans), list[Tensor | None]()
    most = max((int(each.referenced.sum()) for each, _ in turns), default=0)
    for each, shared in turns:
        run = _Run(weights, ready, each, workspace, most, totals[: shared + 1] if shared else [])
        for layer in range(shared, each.graph.shape.n_layers):
            run.layer(layer)
        totals = run.totals
        yield run.final()


FEW = 4


class _Run:
    """One run's state: the deltas of the referenced sources and the running total, first at all positions, from the
    last layer's queries on at the read positions; and the total before each layer."""

    def __init__(
        self,
        weights: Weights,
        ready: Ready,
        plan: Plan,
        workspace: Workspace,
        most: int,
        totals: Sequence[Tensor | None],
    ) -> None:
        """``most``: deltas that any of these runs keeps, so that all have them in the same memory; ``totals``: of the
        run before, up to the first layer that is not shared with it; none where no layer is."""
        self.weights, self.ready, self.plan, self.workspace = weights, ready, plan, workspace
        self.frame, self.graph = ready.frame, plan.graph
        self.slot = np.cumsum(plan.referenced) - 1
        shape = (most, len(self.frame), plan.n_circuits, self.frame.clean.shape[1], weights.d_model)
        self.deltas = workspace.take("deltas", shape, weights.stream_dtype)[: int(plan.referenced.sum())]
        self.totals: list[Tensor | None] = list(totals[:-1])
        self.total: Tensor | None = totals[-1] if totals else None
        if not totals and plan.computed[0]:
            self._wrote(0, ready.embed - ready.values.outputs.embed)

    def layer(self, layer: int) -> None:
        """Run a layer's needed heads and its MLP."""
        shape, totals, inputs = self.graph.shape, self.ready.values.totals, self.plan.layers[layer]
        block, sources = self.weights.blocks[layer], self.graph.heads(layer)
        self.totals.append(self.total)
        heads = np.nonzero(self.plan.computed[sources])[0].tolist()
        read = self._inputs(inputs.key_value, totals.attention[layer])
        key_value = query = self._normed(block.attention.norm, read, "key value")
        if layer == shape.n_layers - 1:
            self._keep_read_positions()
            read = self._inputs(inputs.query, self.frame.at_read(totals.attention[layer], 2))
            query = self._normed(block.attention.norm, read, "query")
        runs_mlp = block.mlp is not None and bool(self.plan.computed[sources.stop])
        out = self._mlp(layer, inputs.mlp, read) if runs_mlp and shape.parallel else None
        if heads:
            self._attention(layer, heads, key_value, query)
        if runs_mlp and not shape.parallel:
            out = self._mlp(layer, inputs.mlp, self._inputs(inputs.mlp, totals.mlp[layer]))
        if out is not None:
            self._wrote(sources.stop, out - self.ready.values.outputs.mlp[layer])

    def final(self) -> Tensor:
        group, total = self.plan.final, self.ready.values.totals.final
        steps = self.frame.read.shape[1]
        if not len(group):
            return total.expand(len(self.frame), self.plan.n_circuits, steps, -1)
        return self._inputs(group, total)[0]

    def _inputs(self, group: Inputs, base: Tensor) -> Float[Tensor, "input batch circuit pos d_model"]:
        """Step 1: base, or base + T, plus or minus deltas; few terms by adds, many by one product."""
        inputs = self.workspace.take("inputs", (len(group), *self.deltas.shape[1:]), self.deltas.dtype)
        whole = base if self.total is None or not any(group.total) else base + self.total
        starts = [whole if total else base for total in group.total]
        signs = group.signs[:, :, self.plan.referenced]
        n_terms = np.abs(signs).sum((0, 2))
        n_light = int((n_terms <= FEW).sum()) if self.plan.n_circuits == 1 else 0
        for index in range(n_light):
            given = starts[index]
            for slot in np.nonzero(signs[0, index])[0].tolist():
                given = torch.add(given, self.deltas[slot], alpha=int(signs[0, index, slot]), out=inputs[index])
            if not n_terms[index]:
                inputs[index] = given
        for index in range(n_light, len(group)):
            inputs[index] = starts[index]
        heavy = inputs[n_light:]
        if n_terms[n_light:].any():
            n_slots = int(np.nonzero(np.abs(signs).sum((0, 1)))[0].max()) + 1
            matrix = torch.from_numpy(signs[:, n_light:, :n_slots]).to(self.deltas)
            if self.plan.n_circuits == 1:
                heavy.flatten(1).addmm_(matrix[0], self.deltas[:n_slots].flatten(1))
            else:
                heavy += torch.einsum("cis,sbcpd->ibcpd", matrix, self.deltas[:n_slots])
        return inputs

    def _normed(self, norm: Norm | None, inputs: Tensor, name: str) -> Tensor:
        """Step 2: what products read of a group's inputs, at the latest until ``name`` is used again."""
        if norm is not None and norm.in_one_pass:
            return norm(inputs).to(self.weights.dtype)
        room = self.workspace.take(name, tuple(inputs.shape), inputs.dtype)
        if norm is None:
            return room.copy_(inputs).to(self.weights.dtype)
        return norm.scaled(norm.hat(inputs, room)[0], room).to(self.weights.dtype)

    def _attention(self, layer: int, heads: list[int], key_value_x: Tensor, query_x: Tensor) -> None:
        """Steps 3 and 4 for the given heads."""
        weights, inputs, rest = self.weights, self.plan.layers[layer], self.ready.rest
        part, rows = weights.blocks[layer].attention, self.graph.rows(layer)
        reading = layer == self.graph.shape.n_layers - 1
        groups = [head // (weights.n_heads // weights.n_kv_heads) for head in heads]
        stored = [head // (weights.n_heads // len(part.key)) for head in heads]
        query = self._columns(Columns(part.query, rows.query, inputs.query, rest.query[layer]), heads, query_x)
        key = self._columns(Columns(part.key, rows.key, inputs.key_value, rest.key[layer]), groups, key_value_x)
        value = self._columns(Columns(part.value, rows.value, inputs.key_value, rest.value[layer]), groups, key_value_x)
        query = head_normed(part.query_norm, part.joint, query, heads)
        key = head_normed(part.key_norm, part.joint, key, stored)
        query = turned(self.frame.rotation(part.rotary, reading), query)
        key = turned(self.frame.rotation(part.rotary), key)
        prefix = None if self.ready.prefix is None else self.ready.prefix[layer].of_heads(stored)
        sight = self.frame.sight(part.window, reading).of_heads(heads)
        z, _ = attend(part, query, key, value, prefix, sight)
        self._wrote_heads(layer, heads, z)

    def _columns(
        self, columns: "Columns", heads: list[int], x: Tensor
    ) -> Float[Tensor, "batch head circuit pos d_head"]:
        """Each head's numbers, from its own input; at rest, what is known."""
        d_head, stored = self.weights.d_head, columns.stored(heads)
        out = self.workspace.take(f"columns {columns.rows.start}", (*x.shape[1:4], len(heads) * d_head), x.dtype)
        flat = out.view(-1, out.shape[-1])
        for start, stop in _runs([(s, columns.input_of(h)) for s, h in zip(stored, heads, strict=True)]):
            index = columns.input_of(heads[start])
            target = slice(start * d_head, stop * d_head)
            if index is None:
                split_heads(out[..., target], d_head).copy_(columns.rest[:, neighbours(stored[start:stop])])
                continue
            matrix = columns.projection.heads(stored[start], stored[stop - 1] + 1)
            rows = x[index].view(-1, x.shape[-1])
            if stop - start == stored[stop - 1] - stored[start] + 1:
                matrix(rows, flat[:, target])
                continue
            shared = [s - stored[start] for s in stored[start:stop]]
            flat[:, target] = matrix(rows).unflatten(-1, (-1, d_head))[:, shared].flatten(1)
        return split_heads(out, d_head)

    def _mlp(self, layer: int, group: Inputs, inputs: Tensor) -> Tensor:
        """What a layer's MLP writes; at rest, from the ablation totals."""
        index, part = group.of.get(self.graph.rows(layer).mlp), self.weights.blocks[layer].mlp
        assert part is not None
        read = self.ready.values.totals.mlp[layer] if index is None else inputs[index]
        return feed(part, normed(part.norm, read), self.workspace)[0]

    def _wrote(self, source: int, delta: Tensor) -> None:
        if self.plan.referenced[source]:
            self.deltas[self.slot[source]] = delta
        if self.plan.summed[source]:
            self.total = delta if self.total is None else self.total + delta

    def _wrote_heads(self, layer: int, heads: list[int], z: Tensor) -> None:
        """Deltas of heads, through their output matrices: all at once into the total, one by one where referenced."""
        weights, first = self.weights, self.graph.heads(layer).start
        part, every = weights.blocks[layer].attention, len(heads) == weights.n_heads
        assert every or not part.coupled
        z = own_outputs(part, z)
        ablated, matrices = self.ready.values.outputs.heads(layer), head_outputs(weights, layer)
        own = HeadWrites(weights, z, matrices if every else matrices[heads])
        difference = own.minus(ablated if every else ablated.of(heads))
        if self.plan.summed[first + heads[0]]:
            delta = difference.sum()
            self.total = delta if self.total is None else self.total + delta
        named = [i for i, head in enumerate(heads) if self.plan.referenced[first + head]]
        if named:
            slot = self.slot[first + heads[named[0]]]
            difference.of(named).each_into(self.deltas[slot : slot + len(named)])

    def _keep_read_positions(self) -> None:
        if not self.frame.reads_everything:
            self.deltas = self.frame.at_read(self.deltas.transpose(0, 1), 3).transpose(0, 1).contiguous()
            self.total = self.total if self.total is None else self.frame.at_read(self.total, 2)


@dataclass(frozen=True, eq=False)
class Columns:
    """The queries, keys or values of a layer: the matrices, their destinations, the inputs of the group that they are
    of, and what they are at rest."""

    projection: Projection
    rows: slice
    group: Inputs
    rest: Tensor

    def input_of(self, head: int) -> int | None:
        """Which of the group's inputs a head reads; None at rest."""
        return self.group.of.get(self.rows.start + head)

    def stored(self, heads: list[int]) -> list[int]:
        """The matrix of each head; heads of a group may share one."""
        share = (self.rows.stop - self.rows.start) // len(self.projection)
        return [head // share for head in heads]


def _runs(blocks: list[tuple[int, int | None]]) -> list[tuple[int, int]]:
    """Stretches of heads with one input whose matrices are the same or neighbours, as (start, stop) in the list of each
    head's matrix and input."""
    stretches, start = [], 0
    for i in range(1, len(blocks) + 1):
        if i == len(blocks) or blocks[i][1] != blocks[i - 1][1] or not 0 <= blocks[i][0] - blocks[i - 1][0] <= 1:
            stretches.append((start, i))
            start = i
    return stretches
