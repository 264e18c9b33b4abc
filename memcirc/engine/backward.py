"""The backward pass of :mod:`memcirc.engine.tape`, written by hand.

Wanted are the gradients at all branch inputs x_d, head by head and for queries, keys and values apart, which go into
the score products (:mod:`memcirc.engine.sheet`), and the gradient of the residual r, which collects (1 - a) times
each of them. Weights need none. For a branch y = (hat(x) * g + b) @ W + c, with W' = diag(g) W, its columns centred
where the norm is (hat has mean zero, so nothing changes), and c' = b @ W + c,

    dx = inverse * (dy @ W'.T) - hat * mean(hat * inverse * (dy @ W'.T)),

and mean(hat * (dy @ W'.T)) = dy . (y - c') / d_model: the norm costs one rank-1 correction. Through attention with
patterns A and outputs z: dA = dz v.T, dscores = A (dA - dz . z), dq = dscores k, dk = dscores.T q, dv = A.T dz; where
queries or keys are normed or scores capped, automatic differentiation takes this step.

The steps, from the logits down: 1. the MLP of a layer; 2. its attention; 3. one product of their gradients with the
source differences, the MLP of a sequential block together with the attention above it, which reads the same sources.

As *relevance* (Jafari et al. 2025) the same pass holds norm scales, patterns and gates constant, and an activation
f(x) = x * f(x)/x by its factor f(x)/x.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.activations import ACTIVATIONS
from memcirc.decoder.attention import split_heads, spread, turned
from memcirc.decoder.weights import Attention, Projection
from memcirc.engine.batch import EngineBatch
from memcirc.engine.sheet import Sheet
from memcirc.engine.tape import AttentionTape, MlpTape, Replaced, Tape

CACHED_BYTES = 8 << 20
"""Of gradients at heads' inputs that are made, corrected and summed before the next ones."""


def backward(
    batch: EngineBatch,
    tape: Tape,
    gradient: Tensor,
    sheets: tuple[Sheet, Sheet],
    relevance: bool = False,
    replaced: Replaced | None = None,
) -> None:
    """Add the scores of all edges to the sheets.

    Args:
        gradient: of the loss at the final residual, [batch, variant, step, d_model].
        sheets: for the destinations that read all positions, and for those that read the read positions.
        replaced: sources whose outputs were put in place, so that nothing flows through them.
    """
    graph, frame, own = batch.weights.graph, batch.frame, tape.own
    shape, replaced = graph.shape, replaced or {}
    whole, read = sheets
    if not shape.n_heads or not tape.attention:
        whole = read
    read.room(len(graph.destinations) - 1, 1, graph.n_visible[-1])[0] = gradient
    if not bool(own.any()):
        read.flush()
        return
    residual = gradient * own
    for layer in reversed(range(shape.n_layers)):
        reading = layer == shape.n_layers - 1
        sheet = read if reading else whole
        before_attention, from_mlp = residual, None
        if shape.parallel:
            sheet.flush()
        if shape.has_mlp and f"m{layer}" not in replaced:
            index = graph.rows(layer).mlp
            room = sheet.room(index, 1, graph.n_visible[index])[0]
            from_mlp = mlp_gradient(batch, layer, tape.mlp[layer], residual, relevance)
            room.copy_(from_mlp)
            from_mlp = from_mlp * own
            if not shape.parallel:
                before_attention = residual + from_mlp
        if not shape.parallel:
            sheet.flush()
        residual = residual if from_mlp is None else residual + from_mlp
        if reading:
            residual = frame.from_read(residual, 2)
        if f"a{layer}" not in replaced:
            through = AttentionBackward(batch, layer, tape.attention[layer], relevance)
            residual = residual + own * through(before_attention, whole, sheet)
        if reading:
            read.flush()
    whole.flush()


def mlp_gradient(batch: EngineBatch, layer: int, tape: MlpTape, gradient: Tensor, relevance: bool = False) -> Tensor:
    """The gradient at the MLP's input."""
    weights, workspace = batch.weights, batch.workspace
    mlp, inner = weights.blocks[layer].mlp, tape.inner
    assert mlp is not None
    activation = ACTIVATIONS[mlp.activation]
    if mlp.multiplier != 1:
        gradient = gradient * mlp.multiplier
    if mlp.post is not None and inner.post is not None:
        gradient = mlp.post.backward(gradient, *inner.post, fixed_scale=relevance)
    after = workspace.take("after", tuple(inner.before.shape), weights.dtype)
    torch.mm(gradient.reshape(-1, weights.d_model).to(weights.dtype), mlp.down.weight.T, out=after.flatten(0, -2))
    if mlp.gate is not None:
        assert inner.linear is not None
        raw = (after * activation.value(inner.before)) @ mlp.up.weight.T
        if not relevance:
            raw = raw + activation.backward(after * inner.linear, inner.before) @ mlp.gate.weight.T
    else:
        before = workspace.take("d_before", tuple(inner.before.shape), weights.dtype)
        if relevance:
            torch.mul(after, activation.ratio(inner.before), out=before)
        else:
            activation.backward_into(after, inner.before, before)
        raw = before @ mlp.up.weight.T
    raw = raw.to(weights.stream_dtype)
    if mlp.norm is None or tape.inverse is None:
        return raw
    return mlp.norm.backward(raw, tape.hat, tape.inverse, fixed_scale=relevance)


@dataclass(frozen=True, eq=False)
class AttentionBackward:
    """The way back through one layer's attention."""

    batch: EngineBatch
    layer: int
    tape: AttentionTape
    relevance: bool = False

    @property
    def attention(self) -> Attention:
        return self.batch.weights.blocks[self.layer].attention

    def __call__(self, gradient: Tensor, whole: Sheet, queries: Sheet) -> Tensor:
        """Write the gradients at the inputs of all queries, keys and values; return their sum, at all positions.

        Args:
            gradient: at what the attention writes.
        """
        weights, frame, tape = self.batch.weights, self.batch.frame, self.tape
        graph, reading = weights.graph, queries is not whole
        rows = graph.rows(self.layer)
        dz = self._at_outputs(gradient)
        turned_d, d = self.through(dz)
        dq, dk, dv = d
        hat, inverse = tape.hat, tape.inverse
        along_query, along_key, along_value = self.along_hat(turned_d, d)
        read_hat = frame.at_read(hat, 2) if reading else hat
        read_inverse = frame.at_read(inverse, 2) if reading and inverse is not None else inverse
        n_visible = graph.n_visible[rows.query.start]
        room = queries.room(rows.query.start, weights.n_heads, n_visible)
        total = torch.zeros_like(room[0])
        self.into(room, self.attention.query, dq, (read_hat, by_head(read_inverse)), along_query, total)
        if reading:
            total = frame.from_read(total, 2)
        room = whole.room(rows.key.start, 2 * weights.n_kv_heads, n_visible)
        keys, values = room.split(weights.n_kv_heads)
        self.into(keys, self.attention.key, dk, (hat, by_head(inverse)), along_key, total)
        self.into(values, self.attention.value, dv, (hat, by_head(inverse)), along_value, total)
        return total

    def _at_outputs(self, gradient: Tensor) -> Tensor:
        """The gradient at z, head by head."""
        weights, attention = self.batch.weights, self.attention
        if attention.multiplier != 1:
            gradient = gradient * attention.multiplier
        if attention.post is not None and self.tape.post is not None:
            gradient = attention.post.backward(gradient, *self.tape.post, fixed_scale=self.relevance)
        return split_heads(gradient.to(weights.dtype) @ attention.out.weight.T, weights.d_head)

    def through(self, dz: Tensor) -> tuple[tuple[Tensor, Tensor] | None, tuple[Tensor, Tensor, Tensor]]:
        """Gradients of queries, keys and values as the matrices gave them, keys and values for each that has an input
        of its own; before them, where they were only turned, those of turned queries and keys."""
        frame, tape, attention = self.batch.frame, self.tape, self.attention
        if self.relevance:
            dv = self._per_group(self._own_pattern().transpose(-1, -2) @ dz)
            return None, (torch.zeros_like(tape.raw[0]), torch.zeros_like(dv), dv)
        if not attention.plain:
            return None, self._differentiated(dz)
        turned_dq, turned_dk, dv = self._by_hand(dz)
        reading = self.layer == self.batch.last
        dq = turned(frame.rotation(attention.rotary, reading), turned_dq, back=True)
        return (turned_dq, turned_dk), (dq, turned(frame.rotation(attention.rotary), turned_dk, back=True), dv)

    def _own_pattern(self) -> Tensor:
        """The patterns without the prefix."""
        prefix = self.batch.prefix_of(self.layer)
        return self.tape.pattern[..., 0 if prefix is None else prefix.key.shape[2] :]

    def _by_hand(self, dz: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of turned queries, turned keys and values."""
        tape, n_heads, scale = self.tape, self.batch.weights.n_heads, self.attention.scale
        prefix, pattern = self.batch.prefix_of(self.layer), self._own_pattern()
        dv = self._per_group(pattern.transpose(-1, -2) @ dz)
        inner = (dz * tape.z).sum(-1, keepdim=True)
        d_scores = pattern * (dz @ spread(tape.value, n_heads).transpose(-1, -2) - inner) * scale
        dq = d_scores @ spread(tape.key, n_heads)
        dk = self._per_group(d_scores.transpose(-1, -2) @ tape.query)
        if prefix is not None:
            before = dz.flatten(2, 3) @ spread(prefix.value, n_heads).transpose(-1, -2)
            before = before.view(*dz.shape[:-1], -1)
            before = tape.pattern[..., : before.shape[-1]] * (before - inner) * scale
            dq = dq + (before.flatten(2, 3) @ spread(prefix.key, n_heads)).view(dq.shape)
        return dq, dk, dv

    def _differentiated(self, dz: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same of what the matrices gave, by automatic differentiation of the same description of attention."""
        n_kv, reading = self.batch.weights.n_kv_heads, self.layer == self.batch.last
        with torch.enable_grad():
            query, key, value = (
                part.detach().requires_grad_(True)
                for part in (self.tape.raw[0], spread(self.tape.raw[1], n_kv), spread(self.tape.raw[2], n_kv))
            )
            turned_query = self.batch.turned_query(self.layer, query, reading)
            z, _ = self.batch.attended(self.layer, turned_query, self.batch.turned_key(self.layer, key), value, reading)
            dq, dk, dv = torch.autograd.grad(z, (query, key, value), dz)
        return dq, dk, dv

    def _per_group(self, x: Tensor) -> Tensor:
        """Sum what the query heads send to the key or value that they share."""
        groups = self.batch.weights.n_heads // self.batch.weights.n_kv_heads
        return x if groups == 1 else x.unflatten(1, (-1, groups)).sum(2)

    def along_hat(
        self, turned_d: tuple[Tensor, Tensor] | None, d: tuple[Tensor, Tensor, Tensor]
    ) -> list[Tensor] | list[None]:
        """dy . (y - c') of queries, keys and values, each [batch, head, variant, pos, 1]; None where scales are
        constants. Turning leaves dy . y as it is, so that turned gradients may meet turned outputs."""
        if self.relevance or self.tape.inverse is None:
            return [None] * 3
        tape, exact = self.tape, self.batch.weights.stream_dtype
        pairs = [(gradient, output) for gradient, output in zip(d, tape.raw, strict=True)]
        if turned_d is not None:
            pairs[:2] = [(turned_d[0], tape.query), (turned_d[1], tape.key)]
        found: list[Tensor] = []
        for (along, output), gradient, shift in zip(pairs, d, self.attention.shifts, strict=True):
            inner = (along * spread(output, along.shape[1])).sum(-1, keepdim=True, dtype=exact)
            if shift is not None:
                rows = shift.repeat_interleave(gradient.shape[1] // len(shift), 0)[:, None, None]
                inner = inner - (gradient * rows).sum(-1, keepdim=True, dtype=exact)
            found.append(inner)
        return found

    def into(
        self,
        room: Tensor,
        projection: Projection,
        gradient: Tensor,
        norm: tuple[Tensor, Tensor | None],
        along: Tensor | None,
        total: Tensor | None = None,
    ) -> None:
        """Gradients at the heads' inputs, [head, batch, variant, pos, d_model], from those of what the heads read: one
        product a head and the norm's rank-1 correction; as many heads at a time as a cache holds.

        Args:
            norm: the inputs' hat, alike for all heads or one each as in ``room``, and 1/scale [batch, head or 1,
                variant, pos, 1].
            total: what their sum is added to.
        """
        hat, inverse = norm
        matrix = scaled_matrix(self.batch, self.attention, projection, len(room))
        if inverse is not None:
            gradient = gradient * inverse
        rows = rearrange(gradient, "b head v p d_head -> head (b v p) d_head").to(matrix.dtype)
        share = None
        if inverse is not None and along is not None:
            share = (along * inverse).transpose(0, 1) / self.batch.weights.d_model
        n_at_once = max(1, CACHED_BYTES // (room[0].numel() * room.itemsize))
        for first in range(0, len(room), n_at_once):
            heads = slice(first, first + n_at_once)
            part = room[heads]
            flat = part.flatten(1, 3)
            if flat.dtype == rows.dtype:
                torch.bmm(rows[heads], matrix[heads], out=flat)
            else:
                flat.copy_(torch.bmm(rows[heads], matrix[heads]))
            if share is not None:
                own_hat = hat[heads] if hat.ndim == room.ndim else hat
                torch.addcmul(part, share[heads], own_hat, value=-1, out=part)
            if total is not None:
                total += part.sum(0)


def by_head(inverse: Tensor | None) -> Float[Tensor, "batch 1 variant pos 1"] | None:
    """1/scale of an input that all heads share."""
    return None if inverse is None else inverse[:, None]


def scaled_matrix(
    batch: EngineBatch, attention: Attention, projection: Projection, n_heads: int
) -> Float[Tensor, "head d_head d_model"]:
    """W' of each input until the next call; an input may share its matrix with others."""
    matrix, norm = projection.weight, attention.norm
    if norm is not None and (norm.gain is not None or norm.centred):
        out = batch.workspace.take("scaled matrix", tuple(matrix.shape), batch.weights.stream_dtype)
        matrix = norm.folded(matrix, out).to(matrix.dtype)
    return matrix.repeat_interleave(n_heads // len(matrix), 0) if n_heads > len(matrix) else matrix
