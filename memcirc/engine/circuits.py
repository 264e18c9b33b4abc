"""Runs of planned circuits over one batch of pairs (:mod:`memcirc.engine.plan` has the algebra).

Layer by layer: 1. form the distinct inputs of its destinations from the ablation totals, the running total T and the
sources' deltas; 2. norm them, and send each through the columns of the heads that read it; a destination without an
input of its own is at rest and its query, key or value known; 3. attention of the heads that are needed; 4. the deltas
of what was computed, in d_model numbers only for sources named alone in a later sum.
"""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from memcirc.engine.ablation import Values
from memcirc.engine.frame import Frame
from memcirc.engine.layers import attention, join_heads, mlp, normed, split_heads, turned
from memcirc.engine.plain import Heads, Prefix, of_layer
from memcirc.engine.plan import Inputs, Plan, heads_of, layer_rows
from memcirc.engine.weights import Weights
from memcirc.engine.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Ready:
    """A batch made ready: what all circuits share. ``rest`` are the queries, keys and values of branches that read the
    ablation totals alone."""

    frame: Frame
    prefix: Prefix
    embed: Float[Tensor, "batch 1 pos d_model"]
    values: Values
    rest: Heads


def run_plan(
    weights: Weights, ready: Ready, plan: Plan, workspace: Workspace
) -> Float[Tensor, "batch circuit step d_model"]:
    """The final residual of every circuit at the read positions."""
    run = _Run(weights, ready, plan, workspace)
    for layer in range(plan.graph.shape.n_layers):
        run.layer(layer)
    return run.final()


FEW = 4


class _Run:
    """One run's state: the deltas of the referenced sources and the running total, first at all positions, from the
    last layer's queries on at the read positions."""

    def __init__(self, weights: Weights, ready: Ready, plan: Plan, workspace: Workspace) -> None:
        self.weights, self.ready, self.plan, self.workspace = weights, ready, plan, workspace
        self.frame, self.graph = ready.frame, plan.graph
        self.slot = np.cumsum(plan.referenced) - 1
        shape = (int(plan.referenced.sum()), len(self.frame), plan.n_circuits, self.frame.clean.shape[1])
        self.deltas = workspace.take("deltas", (*shape, weights.d_model), weights.stream_dtype)
        self.total: Tensor | None = None
        if plan.computed[0]:
            self._wrote(0, ready.embed - ready.values.outputs.embed)

    def layer(self, layer: int) -> None:
        """Run a layer's needed heads and its MLP."""
        shape, totals, inputs = self.graph.shape, self.ready.values.totals, self.plan.layers[layer]
        heads = np.nonzero(self.plan.computed[heads_of(self.graph, layer)])[0].tolist()
        key_value_hats = self._hats(inputs.key_value, totals.attention[layer], "key value")
        query_hats = key_value_hats
        if layer == shape.n_layers - 1:
            self._keep_read_positions()
            query_hats = self._hats(inputs.query, self.frame.at_read(totals.attention[layer], 2), "query")
        mlp_index = heads_of(self.graph, layer).stop
        runs_mlp = shape.has_mlp and bool(self.plan.computed[mlp_index])
        out = self._mlp(layer, inputs.mlp, query_hats) if runs_mlp and shape.parallel else None
        if heads:
            self._attention(layer, heads, key_value_hats, query_hats)
        if runs_mlp and not shape.parallel:
            out = self._mlp(layer, inputs.mlp, self._hats(inputs.mlp, totals.mlp[layer], "mlp"))
        if out is not None:
            self._wrote(mlp_index, out - self.ready.values.outputs.mlp[layer])

    def final(self) -> Tensor:
        group, total = self.plan.final, self.ready.values.totals.final
        steps = self.frame.read.shape[1]
        if not len(group):
            return total.expand(len(self.frame), self.plan.n_circuits, steps, -1)
        return self._inputs(group, total)[0]

    def _inputs(self, group: Inputs, base: Tensor) -> Float[Tensor, "input batch circuit pos d_model"]:
        """Step 1: base, or base + T, plus or minus deltas; few terms by adds, many by one product."""
        inputs = self.workspace.take("inputs", (len(group), *self.deltas.shape[1:]), self.deltas.dtype)
        whole = base if self.total is None else base + self.total
        for index, total in enumerate(group.total):
            inputs[index] = whole if total else base
        signs = torch.from_numpy(group.signs[:, :, self.plan.referenced])
        n_terms = signs.abs().sum((0, 2))
        n_light = int((n_terms <= FEW).sum()) if self.plan.n_circuits == 1 else 0
        for index in range(n_light):
            for slot in signs[0, index].nonzero()[:, 0].tolist():
                inputs[index].add_(self.deltas[slot], alpha=int(signs[0, index, slot]))
        heavy = inputs[n_light:]
        if n_terms[n_light:].any():
            n_slots = int(signs.abs().sum((0, 1)).nonzero().max()) + 1
            matrix = signs[:, n_light:, :n_slots].to(self.deltas)
            if self.plan.n_circuits == 1:
                heavy.flatten(1).addmm_(matrix[0], self.deltas[:n_slots].flatten(1))
            else:
                heavy += torch.einsum("cis,sbcpd->ibcpd", matrix, self.deltas[:n_slots])
        return inputs

    def _hats(self, group: Inputs, base: Tensor, name: str) -> Tensor:
        """Step 2: the normed inputs of a group, as products take them; they last until ``name`` is used again."""
        inputs = self._inputs(group, base)
        room = self.workspace.take(name, tuple(inputs.shape), inputs.dtype)
        hats, _ = normed(self.weights, inputs, room)
        return (room.copy_(hats) if hats is inputs else hats).to(self.weights.dtype)

    def _attention(self, layer: int, heads: list[int], key_value_hats: Tensor, query_hats: Tensor) -> None:
        """Steps 3 and 4 for the given heads."""
        weights, inputs, rest = self.weights, self.plan.layers[layer], self.ready.rest
        last = layer == self.graph.shape.n_layers - 1
        n_heads, n_kv = weights.n_heads, weights.n_kv_heads
        groups = [head // (n_heads // n_kv) for head in heads]
        query = self._columns(layer, heads, inputs.query, query_hats, rest.query[layer], 0)
        key = self._columns(layer, groups, inputs.key_value, key_value_hats, rest.key[layer], n_heads)
        value = self._columns(layer, groups, inputs.key_value, key_value_hats, rest.value[layer], n_heads + n_kv)
        query = turned(self.frame.read_rotation if last else self.frame.rotation, query)
        visible = (self.frame.read_visible if last else self.frame.visible)[weights.blocks[layer].window]
        prefix = of_layer(self.ready.prefix, layer)
        prefix = None if prefix is None else prefix.of_heads(groups)
        z, _ = attention(weights, query, turned(self.frame.rotation, key), value, prefix, visible)
        self._wrote_heads(layer, heads, z)

    def _columns(
        self, layer: int, heads: list[int], group: Inputs, hats: Tensor, rest: Tensor, offset: int
    ) -> Float[Tensor, "batch head circuit pos d_head"]:
        """Each head's columns of its own input; at rest, what is known. ``offset`` is the first head's block."""
        first = layer_rows(self.graph, layer)[0].start + offset
        linear, d_head = self.weights.blocks[layer].qkv, self.weights.d_head
        out = self.workspace.take(f"columns{offset}", (*hats.shape[1:4], len(heads) * d_head), hats.dtype)
        flat = out.view(-1, out.shape[-1])
        for start, stop in _runs([(head, group.of.get(first + head)) for head in heads]):
            index = group.of.get(first + heads[start])
            columns = slice(start * d_head, stop * d_head)
            if index is None:
                out[..., columns] = join_heads(rest[:, heads[start:stop]])
                continue
            block = linear.columns((offset + heads[start]) * d_head, (offset + heads[stop - 1] + 1) * d_head)
            torch.addmm(block.bias, hats[index].view(-1, hats.shape[-1]), block.weight, out=flat[:, columns])
        return split_heads(out, d_head)

    def _mlp(self, layer: int, group: Inputs, hats: Tensor) -> Tensor:
        """Output of a layer's MLP; at rest, from the ablation totals."""
        index = group.of.get(layer_rows(self.graph, layer)[3])
        block = self.weights.blocks[layer]
        if index is None:
            hat = normed(self.weights, self.ready.values.totals.mlp[layer])[0]
            return mlp(self.weights, block, hat, self.workspace)[0]
        return mlp(self.weights, block, hats[index], self.workspace)[0]

    def _wrote(self, source: int, delta: Tensor) -> None:
        if self.plan.referenced[source]:
            self.deltas[self.slot[source]] = delta
        if self.plan.summed[source]:
            self.total = delta if self.total is None else self.total + delta

    def _wrote_heads(self, layer: int, heads: list[int], z: Tensor) -> None:
        """Deltas of heads, through their output matrices: all at once into the total, one by one where referenced."""
        weights, first = self.weights, heads_of(self.graph, layer).start
        ablated = split_heads(self.ready.values.outputs.z[layer], weights.d_head)
        every = len(heads) == weights.n_heads
        difference = (z - (ablated if every else ablated[:, heads])).to(weights.dtype)
        matrices = weights.head_outputs[layer] if every else weights.head_outputs[layer][heads]
        if self.plan.summed[first + heads[0]]:
            delta = (join_heads(difference) @ matrices.flatten(0, 1)).to(weights.stream_dtype)
            self.total = delta if self.total is None else self.total + delta
        own = [i for i, head in enumerate(heads) if self.plan.referenced[first + head]]
        if own:
            slot = self.slot[first + heads[own[0]]]
            rows = rearrange(difference[:, own], "batch head circuit pos d_head -> head (batch circuit pos) d_head")
            target = self.deltas[slot : slot + len(own)]
            chosen = matrices if len(own) == len(matrices) else matrices[own]
            if target.dtype == rows.dtype:
                torch.bmm(rows, chosen, out=target.flatten(1, 3))
            else:
                target.copy_((rows @ chosen).view_as(target))

    def _keep_read_positions(self) -> None:
        if not self.frame.reads_everything:
            self.deltas = self.frame.at_read(self.deltas.transpose(0, 1), 3).transpose(0, 1).contiguous()
            self.total = self.total if self.total is None else self.frame.at_read(self.total, 2)


def _runs(blocks: list[tuple[int, int | None]]) -> list[tuple[int, int]]:
    """Stretches of neighbouring heads with one input, as (start, stop) in the list."""
    stretches, start = [], 0
    for i in range(1, len(blocks) + 1):
        if i == len(blocks) or blocks[i] != (blocks[i - 1][0] + 1, blocks[i - 1][1]):
            stretches.append((start, i))
            start = i
    return stretches
