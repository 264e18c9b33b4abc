"""Plain runs: what every source outputs when nothing is patched, and the keys and values of shared prefixes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.engine.frame import Frame
from memcirc.engine.layers import KeyValue, attention, join_heads, mlp, normed, split_heads, turned
from memcirc.engine.weights import Weights
from memcirc.engine.workspace import Workspace

Prefix = Sequence[KeyValue] | None


def of_layer(prefix: Prefix, layer: int) -> KeyValue | None:
    return None if prefix is None else prefix[layer]


@dataclass(frozen=True, eq=False)
class Outputs:
    """What the sources write, [batch, variant, pos, ...] (an axis of length 1 is the same all along it). Heads are kept
    as z, before the output matrix: d_head instead of d_model numbers a head. Those of the last block are at the read
    positions, unless ``whole`` was asked for."""

    embed: Float[Tensor, "_ _ _ d_model"]
    z: tuple[Float[Tensor, "_ _ _ columns"], ...]
    mlp: tuple[Float[Tensor, "_ _ _ d_model"], ...]


@dataclass(frozen=True, eq=False)
class Residuals:
    """What the branches read in one run, [batch, variant, pos, d_model]: the residual before each attention, before
    each MLP (at the read positions in the last block) and before the final norm (at the read positions)."""

    attention: tuple[Float[Tensor, "_ _ _ d_model"], ...]
    mlp: tuple[Float[Tensor, "_ _ _ d_model"], ...]
    final: Float[Tensor, "_ _ _ d_model"]


@dataclass(frozen=True, eq=False)
class Heads:
    """Queries, keys (neither turned yet) and values of every layer, [batch, head, variant, pos, d_head]; the last
    layer's queries at the read positions."""

    query: tuple[Float[Tensor, "_ _ _ _ d_head"], ...]
    key: tuple[Float[Tensor, "_ _ _ _ d_head"], ...]
    value: tuple[Float[Tensor, "_ _ _ _ d_head"], ...]


@dataclass(frozen=True, eq=False)
class PlainRun:
    outputs: Outputs
    residuals: Residuals
    heads: Heads


def plain_run(
    weights: Weights,
    frame: Frame,
    embed: Tensor,
    workspace: Workspace,
    prefix: Prefix = None,
    whole: bool = False,
) -> PlainRun:
    """Run the model over a frame's suffixes.

    Args:
        embed: float [batch, variant, pos, d_model], output of the source ``input``.
        whole: compute the last block at all positions (means over positions need it).
    """
    shape = weights.graph.shape
    zs, mlps, before_attention, before_mlp, queries, keys, values = [], [], [], [], [], [], []
    residual = embed
    for layer, block in enumerate(weights.blocks):
        reading = layer == shape.n_layers - 1 and not whole
        rotation = frame.read_rotation if reading else frame.rotation
        visible = (frame.read_visible if reading else frame.visible)[block.window]
        hat, _ = normed(weights, residual)
        query, key, value = project(weights, layer, hat, frame.at_read(hat, 2) if reading else hat)
        turned_query, turned_key = turned(rotation, query), turned(frame.rotation, key)
        z, _ = attention(weights, turned_query, turned_key, value, of_layer(prefix, layer), visible)
        zs.append(join_heads(z))
        before_attention.append(residual)
        residual = frame.at_read(residual, 2) if reading else residual
        attended = residual + block.out(zs[-1])
        if shape.has_mlp:
            before_mlp.append(residual if shape.parallel else attended)
            mlps.append(mlp(weights, block, normed(weights, before_mlp[-1])[0], workspace)[0])
            attended = attended + mlps[-1]
        residual = attended
        queries.append(query)
        keys.append(key)
        values.append(value)
    if whole or not weights.blocks:
        residual = frame.at_read(residual, 2)
    return PlainRun(
        Outputs(embed, tuple(zs), tuple(mlps)),
        Residuals(tuple(before_attention), tuple(before_mlp), residual),
        Heads(tuple(queries), tuple(keys), tuple(values)),
    )


def project(
    weights: Weights, layer: int, hat: Tensor, query_hat: Tensor, out: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, head by head, not turned yet; queries may be asked for at fewer positions."""
    linear, d_head = weights.blocks[layer].qkv, weights.d_head
    n_query, n_key = weights.n_heads * d_head, weights.n_kv_heads * d_head
    if query_hat is hat:
        q, k, v = linear(hat, out).split([n_query, n_key, n_key], dim=-1)
    else:
        q = linear.columns(0, n_query)(query_hat)
        k, v = linear.columns(n_query, n_query + 2 * n_key)(hat).split([n_key, n_key], dim=-1)
    return split_heads(q, d_head), split_heads(k, d_head), split_heads(v, d_head)


def prefix_pass(weights: Weights, frame: Frame, workspace: Workspace, store: Workspace) -> Prefix:
    """Keys and values of what each pair's prompts have in common; None where they have nothing. They last until
    ``store`` is used for another batch."""
    n_prefix = frame.prefix.shape[1]
    if not n_prefix:
        return None
    position = torch.arange(n_prefix, device=weights.device).expand_as(frame.prefix)
    rotation = None if weights.rotary is None else weights.rotary.at(position)
    residual = weights.embed(frame.prefix, position)[:, None]
    entries = []
    for layer, block in enumerate(weights.blocks):
        hat, _ = normed(weights, residual)
        query, key, value = project(weights, layer, hat, hat)
        query, key = turned(rotation, query), turned(rotation, key)
        entries.append(_stored(store, layer, key[:, :, 0], value[:, :, 0]))
        if layer == len(weights.blocks) - 1:
            break
        distance = position[:, :, None] - position[:, None, :]
        visible = (distance >= 0) & (distance < (block.window or weights.n_ctx))
        z, _ = attention(weights, query, key, value, None, visible)
        attended = residual + block.out(join_heads(z))
        if weights.graph.shape.has_mlp:
            source = residual if weights.graph.shape.parallel else attended
            attended = attended + mlp(weights, block, normed(weights, source)[0], workspace)[0]
        residual = attended
    return entries


def _stored(store: Workspace, layer: int, key: Tensor, value: Tensor) -> KeyValue:
    """A copy apart from the queries that were computed with it."""
    kept = store.take(f"prefix {layer}", (2, *key.shape), key.dtype)
    return KeyValue(kept[0].copy_(key), kept[1].copy_(value))
