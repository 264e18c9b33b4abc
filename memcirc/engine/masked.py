"""Forward and backward with a mask for every edge (:mod:`memcirc.engine.mixing` has the algebra): k_sd = 1 where the
edge carries its source's own output, 0 where it carries the ablation value, anything between.

Layer by layer: 1. one product of masks and sources gives the inputs of all queries, keys and values and of the MLP,
which in a sequential block is then given what the heads of its own layer write; 2. each input is normed and read by
its own head; 3. what is written joins the sources. The way back (:mod:`memcirc.engine.masked_backward`) takes the same
steps from the logits up. In the last block queries, MLP and logits are those of the read positions.

A norm costs no pass over its inputs: with W' = diag(gain) W, its columns centred where the norm is, a head reads
x W' / scale, and the scale of a centred x is its length. Where all norms of the stream are centred, what sources write
is centred instead, which no norm can tell.

Memory: source outputs twice over (with their gradients), and the inputs of all heads of all layers.
"""

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.attention import head_outputs
from memcirc.decoder.mlp import feed
from memcirc.decoder.norm import Norm, hat_of, scaled
from memcirc.decoder.weights import Attention, Projection, Weights
from memcirc.engine.backward import scaled_matrix
from memcirc.engine.batch import EngineBatch
from memcirc.engine.mixing import Masks, Rows, Slots, mix_into
from memcirc.engine.outputs import HeadWrites, own_outputs
from memcirc.engine.tape import AttentionTape, MlpTape
from memcirc.engine.values import Values


@dataclass(frozen=True, eq=False)
class HeadInputs:
    """What some heads read: x (centred where their norm is), and 1/scale [head, batch, 1, pos, 1] where there is a
    norm."""

    x: Rows
    inverse: Tensor | None

    def of(self, start: int, stop: int) -> "HeadInputs":
        return HeadInputs(self.x[start:stop], None if self.inverse is None else self.inverse[start:stop])


@dataclass(frozen=True, eq=False)
class LayerTape:
    """Of one layer: the inputs of queries, keys and values, its attention, its MLP."""

    inputs: tuple[HeadInputs, HeadInputs, HeadInputs]
    attention: AttentionTape
    mlp: MlpTape | None


@dataclass(frozen=True, eq=False)
class MaskedTape:
    """A forward pass under masks [draw, dst, src]; it lasts until the next one with the batch's workspace."""

    masks: Masks
    deltas: Slots
    layers: tuple[LayerTape, ...]
    final: Float[Tensor, "batch 1 step d_model"]


def forward(
    batch: EngineBatch, embed: Float[Tensor, "batch 1 pos d_model"], values: Values, masks: Masks
) -> MaskedTape:
    """Run a batch, every edge under its mask.

    Args:
        embed: output of the source ``input``.
        values: what edges of mask 0 carry.
        masks: [draw, dst, src], one for all pairs or one for each.
    """
    weights, graph = batch.weights, batch.weights.graph
    run = _Run(batch, values, masks, Slots(batch, "deltas"), _centred(weights))
    run.deltas.of(slice(0, 1), False)[0] = run.centred_where_norms_are(embed - values.outputs.embed)
    layers = tuple(run.layer(layer) for layer in range(len(weights.blocks)))
    if not layers:
        run.deltas.whole_to_read()
    room = batch.workspace.take("final", (1, *run.deltas.read.shape[1:]), weights.stream_dtype)
    total = run.centred_where_norms_are(values.totals.final)
    final = run.deltas.mixed(total, masks[:, -1:, : graph.n_visible[-1]], True, room)
    return MaskedTape(masks, run.deltas, layers, final[0])


def _centred(weights: Weights) -> bool:
    """Whether all that reads the residual stream is a norm that takes its mean away."""
    norms: list[Norm | None] = [weights.final_norm]
    for block in weights.blocks:
        norms += [block.attention.norm] if block.mlp is None else [block.attention.norm, block.mlp.norm]
    return all(norm is not None and norm.centred for norm in norms)


@dataclass(frozen=True, eq=False)
class _Run:
    batch: EngineBatch
    values: Values
    masks: Masks
    deltas: Slots
    centred: bool

    def centred_where_norms_are(self, x: Tensor) -> Tensor:
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def layer(self, layer: int) -> LayerTape:
        batch, shape = self.batch, self.batch.weights.graph.shape
        rows, reading = self.batch.weights.graph.rows(layer), layer == batch.last
        apart = reading and not batch.frame.reads_everything
        n_q, n_kv = shape.n_heads, shape.n_kv_heads
        queries = [*range(rows.query.start, rows.query.stop)]
        keys_values, mlp = [*range(rows.key.start, rows.value.stop)], [rows.mlp] * shape.has_mlp
        if apart:
            key_value = self._scaled(layer, self._inputs(layer, keys_values, False))
            self.deltas.whole_to_read()
            inputs = self._inputs(layer, [*queries, *mlp], True)
            query = self._scaled(layer, inputs[:n_q])
        else:
            inputs = self._inputs(layer, [*queries, *keys_values, *mlp], False)
            of_heads = self._scaled(layer, inputs[: n_q + 2 * n_kv])
            query, key_value = of_heads.of(0, n_q), of_heads.of(n_q, n_q + 2 * n_kv)
        read = query, key_value.of(0, n_kv), key_value.of(n_kv, 2 * n_kv)
        attention = self._attention(layer, read, reading)
        return LayerTape(read, attention, self._mlp(layer, inputs[-1:], apart) if mlp else None)

    def _inputs(self, layer: int, members: list[int], reading: bool) -> Rows:
        """Step 1: x_d of some destinations of a layer; the MLP's as its attention would read it."""
        batch, total = self.batch, self.values.totals.attention[layer]
        size = len(members), *(self.deltas.read if reading else self.deltas.whole).shape[1:]
        room = batch.workspace.take(f"inputs {layer} {reading}", size, batch.weights.stream_dtype)
        masks = self.masks[:, members, : batch.weights.graph.n_visible[members[0]]]
        total = self.centred_where_norms_are(batch.frame.at_read(total, 2) if reading else total)
        return self.deltas.mixed(total, masks, reading, room)

    def _scaled(self, layer: int, x: Rows) -> HeadInputs:
        """Step 2."""
        norm = self.batch.weights.blocks[layer].attention.norm
        if norm is None:
            return HeadInputs(x, None)
        if norm.centred and not self.centred:
            x -= x.mean(-1, keepdim=True)
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return HeadInputs(x, length.square_().div_(x.shape[-1]).add_(norm.eps).rsqrt_())

    def _attention(self, layer: int, read: tuple[HeadInputs, HeadInputs, HeadInputs], reading: bool) -> AttentionTape:
        batch, part = self.batch, self.batch.weights.blocks[layer].attention
        query, key, value = (
            self._columns(part, projection, inputs, shift)
            for projection, inputs, shift in zip((part.query, part.key, part.value), read, part.shifts, strict=True)
        )
        turned_query, turned_key = batch.turned_query(layer, query, reading), batch.turned_key(layer, key)
        z, pattern = batch.attended(layer, turned_query, turned_key, value, reading)
        own = HeadWrites(batch.weights, own_outputs(part, z), head_outputs(batch.weights, layer))
        difference = own.minus(self.values.outputs.heads(layer))
        matrices = self.centred_where_norms_are(difference.matrices)
        apart = reading and not batch.frame.reads_everything
        replace(difference, matrices=matrices).each_into(self.deltas.of(batch.weights.graph.heads(layer), apart))
        raw = query, key, value
        return AttentionTape(read[0].x, read[0].inverse, raw, turned_query, turned_key, pattern, z, None)

    def _columns(
        self, part: Attention, projection: Projection, inputs: HeadInputs, shift: Tensor | None
    ) -> Float[Tensor, "batch head 1 pos d_head"]:
        """Queries, keys or values, each head's of its own input."""
        x = inputs.x
        matrix = scaled_matrix(self.batch, part, projection, len(x))
        flat = torch.bmm(x.flatten(1, 3).to(matrix.dtype), matrix.transpose(1, 2))
        if inputs.inverse is not None:
            flat = (flat * inputs.inverse.flatten(1, 3)).to(flat.dtype)
        if shift is not None:
            flat += shift.repeat_interleave(len(x) // len(shift), 0)[:, None]
        return unflattened(flat, x)

    def _mlp(self, layer: int, given: Rows, reading: bool) -> MlpTape:
        """Steps 1 to 3 of an MLP, ``given`` what its attention would read under its masks."""
        batch, graph, totals = self.batch, self.batch.weights.graph, self.values.totals
        part, workspace, heads = batch.weights.blocks[layer].mlp, self.batch.workspace, graph.heads(layer)
        assert part is not None
        if not graph.shape.parallel:
            before = batch.frame.at_read(totals.attention[layer], 2) if reading else totals.attention[layer]
            given += self.centred_where_norms_are(totals.mlp[layer] - before)
            mix_into(given, self.masks[:, graph.rows(layer).mlp, None, heads], self.deltas.of(heads, reading))
        hat, inverse = hat_of(part.norm, given[0], workspace.take(f"mlp {layer}", tuple(given[0].shape), given.dtype))
        out, inner = feed(part, scaled(part.norm, hat), workspace, f"before{layer}")
        target = self.deltas.of(slice(heads.stop, heads.stop + 1), reading)[0]
        target.copy_(self.centred_where_norms_are(out - self.values.outputs.mlp[layer]))
        return MlpTape(hat, inverse, inner)


def unflattened(flat: Float[Tensor, "head rows d_head"], like: Rows) -> Float[Tensor, "batch head 1 pos d_head"]:
    """Heads' numbers, in the batch and at the positions of their inputs or outputs."""
    shape = dict(zip(("b", "v", "p"), like.shape[1:4], strict=True))
    return rearrange(flat, "head (b v p) d_head -> b head v p d_head", **shape)
