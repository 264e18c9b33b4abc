"""The backward pass of :mod:`memcirc.engine.tape`, written by hand.

Wanted are the gradients at all branch inputs x_d, head by head and for queries, keys and values apart, which go into
the score products (:mod:`memcirc.engine.sheet`), and the gradient of the residual r, which collects (1 - a) times
each of them. Weights need none. For a branch y = n(x) @ W' + b' with the norm folded in (W' centred),

    dx = inverse * (dy @ W'.T) - hat * mean(hat * inverse * (dy @ W'.T)),

and mean(hat * (dy @ W'.T)) = dy . (y - b') / d_model: the norm costs one rank-1 correction. Through attention with
patterns A and outputs z: dA = dz v.T, dscores = A (dA - dz . z), dq = dscores k, dk = dscores.T q, dv = A.T dz.

The steps, from the logits down: 1. the MLP of a layer; 2. its attention; 3. one product of their gradients with the
source differences, the MLP of a sequential block together with the attention above it, which reads the same sources.

As *relevance* (Jafari et al. 2025) the same pass holds norm scales, patterns and gates constant, and an activation
f(x) = x * f(x)/x by its factor f(x)/x.
"""

import torch
from einops import rearrange
from torch import Tensor

from memcirc.engine.activations import ACTIVATIONS
from memcirc.engine.frame import Frame
from memcirc.engine.layers import KeyValue, per_query_head, split_heads, turned
from memcirc.engine.plain import Prefix, of_layer
from memcirc.engine.sheet import Sheet
from memcirc.engine.tape import AttentionTape, MlpTape, Replaced, Tape
from memcirc.engine.weights import Weights
from memcirc.engine.workspace import Workspace


def backward(
    weights: Weights,
    frame: Frame,
    prefix: Prefix,
    tape: Tape,
    gradient: Tensor,
    whole: Sheet,
    read: Sheet,
    workspace: Workspace,
    relevance: bool = False,
    replaced: Replaced | None = None,
) -> None:
    """Add the scores of all edges to the sheets.

    Args:
        gradient: of the loss at the final residual, [batch, variant, step, d_model].
        whole, read: sheets for the destinations that read all positions and the read positions.
        replaced: sources whose outputs were put in place, so that nothing flows through them.
    """
    shape, own, graph = weights.graph.shape, tape.own, weights.graph
    replaced = replaced or {}
    if not weights.n_heads or not tape.attention:
        whole = read
    read.room(len(graph.destinations) - 1, 1, graph.n_visible[-1])[0] = gradient
    per_layer = shape.n_heads + 2 * shape.n_kv_heads + shape.has_mlp
    if not bool(own.any()):
        read.flush()
        return
    residual = gradient * own
    for layer in reversed(range(shape.n_layers)):
        reading = layer == shape.n_layers - 1
        sheet = read if reading else whole
        first = layer * per_layer
        before_attention, from_mlp = residual, None
        if shape.parallel:
            sheet.flush()
        if shape.has_mlp and f"m{layer}" not in replaced:
            index = first + per_layer - 1
            room = sheet.room(index, 1, graph.n_visible[index])
            from_mlp = _mlp(weights, layer, tape.mlp[layer], residual, room[0], workspace, relevance) * own
            if not shape.parallel:
                before_attention = residual + from_mlp
        if not shape.parallel:
            sheet.flush()
        residual = residual if from_mlp is None else residual + from_mlp
        if reading:
            residual = frame.from_read(residual, 2)
        if f"a{layer}" not in replaced:
            residual = residual + own * _attention(
                weights, frame, prefix, layer, tape.attention[layer], before_attention, whole, sheet, relevance
            )
        if reading:
            read.flush()
    whole.flush()


def _mlp(
    weights: Weights,
    layer: int,
    tape: MlpTape,
    gradient: Tensor,
    room: Tensor,
    workspace: Workspace,
    relevance: bool,
) -> Tensor:
    """The gradient at the MLP's input, written into ``room`` too."""
    block = weights.blocks[layer]
    assert block.up is not None
    assert block.down is not None
    assert weights.activation is not None
    activation = ACTIVATIONS[weights.activation]
    after = workspace.take("after", (*gradient.shape[:-1], len(block.down.weight)), weights.dtype)
    torch.mm(gradient.reshape(-1, weights.d_model).to(weights.dtype), block.down.weight.T, out=after.flatten(0, -2))
    before = workspace.take("d_before", tuple(tape.before.shape), weights.dtype)
    if weights.gated:
        (gate, linear), (d_gate, d_linear) = tape.before.chunk(2, dim=-1), before.chunk(2, dim=-1)
        torch.mul(after, activation.value(gate), out=d_linear)
        d_gate.copy_(torch.zeros_like(gate) if relevance else activation.backward(after * linear, gate))
    elif relevance:
        torch.mul(after, activation.ratio(tape.before), out=before)
    else:
        activation.backward_into(after, tape.before, before)
    raw = (before @ block.up.weight.T).to(weights.stream_dtype)
    if tape.inverse is not None:
        raw = raw * tape.inverse
        if not relevance:
            raw = raw - tape.hat * (raw * tape.hat).mean(-1, keepdim=True)
    room.copy_(raw)
    return raw


def _attention(
    weights: Weights,
    frame: Frame,
    prefix: Prefix,
    layer: int,
    tape: AttentionTape,
    gradient: Tensor,
    whole: Sheet,
    queries: Sheet,
    relevance: bool,
) -> Tensor:
    """Write the gradients at the inputs of all queries, keys and values; return their sum, at all positions."""
    shape, graph = weights.graph.shape, weights.graph
    per_layer = shape.n_heads + 2 * shape.n_kv_heads + shape.has_mlp
    first = layer * per_layer
    n_visible = graph.n_visible[first]
    dz = split_heads(gradient.to(weights.dtype) @ weights.blocks[layer].out.weight.T, weights.d_head)
    turned_dq, turned_dk, dv = _through_attention(weights, of_layer(prefix, layer), tape, dz, relevance)
    reading = queries is not whole
    dq = turned(frame.read_rotation if layer == shape.n_layers - 1 else frame.rotation, turned_dq, back=True)
    dk = turned(frame.rotation, turned_dk, back=True)
    hat, inverse = tape.hat, tape.inverse
    along = None if inverse is None or relevance else _along_hat(weights, layer, tape, turned_dq, turned_dk, dq, dk, dv)
    read_hat = frame.at_read(hat, 2) if reading else hat
    read_inverse = frame.at_read(inverse, 2) if reading and inverse is not None else inverse
    room = queries.room(first, shape.n_heads, n_visible)
    _into(weights, layer, 0, dq, read_hat, read_inverse, room, along and along[0])
    total = room.sum(0)
    if reading:
        total = frame.from_read(total, 2)
    room = whole.room(first + shape.n_heads, 2 * shape.n_kv_heads, n_visible)
    _into(weights, layer, shape.n_heads, torch.cat([dk, dv], dim=1), hat, inverse, room, along and along[1])
    return total + room.sum(0)


def _through_attention(
    weights: Weights, prefix: KeyValue | None, tape: AttentionTape, dz: Tensor, relevance: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of turned queries, turned keys and values, head by head."""
    n_prefix = 0 if prefix is None else prefix.key.shape[2]
    pattern = tape.pattern[..., n_prefix:]
    dv = _per_group(weights, pattern.transpose(-1, -2) @ dz)
    if relevance:
        return torch.zeros_like(tape.query), torch.zeros_like(tape.key), dv
    inner = (dz * tape.z).sum(-1, keepdim=True)
    d_scores = pattern * (dz @ per_query_head(tape.value, weights.n_heads).transpose(-1, -2) - inner) * weights.scale
    dq = d_scores @ per_query_head(tape.key, weights.n_heads)
    dk = _per_group(weights, d_scores.transpose(-1, -2) @ tape.query)
    if prefix is not None:
        before = (dz.flatten(2, 3) @ per_query_head(prefix.value, weights.n_heads).transpose(-1, -2)).view(
            *dz.shape[:-1], n_prefix
        )
        before = tape.pattern[..., :n_prefix] * (before - inner) * weights.scale
        dq = dq + (before.flatten(2, 3) @ per_query_head(prefix.key, weights.n_heads)).view(dq.shape)
    return dq, dk, dv


def _per_group(weights: Weights, x: Tensor) -> Tensor:
    """Sum what the query heads of a group send to their shared key or value."""
    groups = weights.n_heads // weights.n_kv_heads
    return x if groups == 1 else x.unflatten(1, (-1, groups)).sum(2)


def _into(
    weights: Weights,
    layer: int,
    first: int,
    gradient: Tensor,
    hat: Tensor,
    inverse: Tensor | None,
    room: Tensor,
    along: Tensor | None,
) -> None:
    """Gradients at the inputs of heads ``first`` and following, [head, batch, variant, pos, d_model], from those of
    what the heads read: one product a head and the norm's rank-1 correction."""
    matrix = weights.blocks[layer].qkv.weight
    matrix = matrix.view(weights.d_model, -1, weights.d_head).permute(1, 2, 0)[first : first + len(room)]
    if inverse is not None:
        gradient = gradient * inverse[:, None]
    rows = rearrange(gradient, "b head v p d_head -> head (b v p) d_head").to(weights.dtype)
    flat = room.view(len(room), -1, weights.d_model)
    if flat.dtype == rows.dtype:
        torch.bmm(rows, matrix, out=flat)
    else:
        flat.copy_(torch.bmm(rows, matrix))
    if inverse is not None and along is not None:
        share = (along * inverse[:, None]).transpose(0, 1) / weights.d_model
        torch.addcmul(room, share, hat, value=-1, out=room)


def _along_hat(
    weights: Weights,
    layer: int,
    tape: AttentionTape,
    turned_dq: Tensor,
    turned_dk: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
) -> tuple[Tensor, Tensor]:
    """dy . (y - b') of queries, and of keys and values, [batch, head, variant, pos, 1]. Turning leaves dy . y as it
    is."""
    n_heads, n_kv = weights.n_heads, weights.n_kv_heads
    bias = weights.blocks[layer].qkv.bias.view(1, -1, 1, 1, weights.d_head)

    def inner(turned_gradient: Tensor, turned_output: Tensor, gradient: Tensor, shift: Tensor) -> Tensor:
        exact = (turned_gradient * turned_output).sum(-1, keepdim=True, dtype=weights.stream_dtype)
        return exact - (gradient * shift).sum(-1, keepdim=True, dtype=weights.stream_dtype)

    query = inner(turned_dq, tape.query, dq, bias[:, :n_heads])
    key = inner(turned_dk, tape.key, dk, bias[:, n_heads : n_heads + n_kv])
    value = inner(dv, tape.value, dv, bias[:, n_heads + n_kv :])
    return query, torch.cat([key, value], dim=1)
