"""What an attention branch computes behind its norm: queries, keys and values, patterns, and what its heads write.

With N the norm behind the branch (:mod:`memcirc.decoder.block`), what head h *writes* is z'_h W'_O, where z' =
z * multiplier/sigma with sigma the scale of N in that very run, and W'_O has N's gain on its columns; so the writes add
up to what the attention writes, up to its bias. Passes keep z'.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from memcirc.decoder.norm import Norm
from memcirc.decoder.positions import Rotation
from memcirc.decoder.weights import Attention, Weights

Heads = Float[Tensor, "batch head variant pos d_head"]
Keys = Float[Tensor, "batch kv_head variant pos d_head"]


@dataclass(frozen=True, eq=False)
class KeyValue:
    """Keys (turned) and values of a layer's prefix, one for each pair."""

    key: Float[Tensor, "batch kv_head prefix d_head"]
    value: Float[Tensor, "batch kv_head prefix d_head"]

    def of_heads(self, heads: list[int]) -> "KeyValue":
        if heads == list(range(self.key.shape[1])):
            return self
        return KeyValue(self.key[:, heads], self.value[:, heads])


@dataclass(frozen=True, eq=False)
class Sight:
    """What queries see: which keys, and with what added to the score."""

    visible: Bool[Tensor, "batch pos key"]
    bias: Float[Tensor, "batch head key"] | None

    def of_heads(self, heads: list[int]) -> "Sight":
        return self if self.bias is None else Sight(self.visible, self.bias[:, heads])


def split_heads(x: Float[Tensor, "batch variant pos columns"], d_head: int) -> Heads:
    return rearrange(x, "batch variant pos (head d_head) -> batch head variant pos d_head", d_head=d_head)


def join_heads(x: Heads) -> Float[Tensor, "batch variant pos columns"]:
    return rearrange(x, "batch head variant pos d_head -> batch variant pos (head d_head)")


def turned(rotation: Rotation | None, x: Tensor, back: bool = False) -> Tensor:
    return x if rotation is None else rotation(x, back)


def spread(x: Tensor, n_heads: int) -> Tensor:
    """Keys or values of a group, repeated for each of its heads (axis 1)."""
    groups = n_heads // x.shape[1]
    return x if groups == 1 else x.repeat_interleave(groups, dim=1)


def project(
    attention: Attention,
    x: Tensor,
    query_x: Tensor,
    take: Callable[[str, int], Tensor | None] = lambda name, width: None,
) -> tuple[Float[Tensor, "batch head variant step d_head"], Keys, Keys]:
    """Queries, keys and values, head by head, as the matrices give them; queries may be asked for at fewer positions.

    Args:
        take: memory for a result, by name and width.
    """
    d_head = attention.query.weight.shape[1]
    if attention.fused is not None and query_x is x:
        flat = attention.fused(x, take("qkv", attention.fused.width))
        per_group = len(attention.query) // attention.groups, *(len(attention.key) // attention.groups,) * 2
        grouped = rearrange(flat, "b v p (group head d) -> b group head v p d", group=attention.groups, d=d_head)
        q, k, v = (part.flatten(1, 2) for part in grouped.split(per_group, dim=2))
        return q, k, v
    q, k, v = (
        split_heads(projection.whole(given, take(name, projection.whole.width)), d_head)
        for name, projection, given in (
            ("query", attention.query, query_x),
            ("key", attention.key, x),
            ("value", attention.value, x),
        )
    )
    return q, k, v


def head_normed(norm: Norm | None, joint: bool, x: Heads, heads: list[int] | None = None) -> Heads:
    """Queries or keys behind their norm. Where those of a group are computed apart, ``x`` has more heads than the norm.

    Args:
        joint: the norm's scale is that of all heads together.
        heads: which of the norm's heads ``x`` holds; default: all, in order.
    """
    if norm is None:
        return x
    laid_out = Norm(norm.centred, norm.eps, *(_by_head(part, x, heads) for part in (norm.gain, norm.bias)))
    if not joint:
        return laid_out(x)
    hat, _ = norm.hat(join_heads(x))
    return laid_out.scaled(split_heads(hat, x.shape[-1]))


def _by_head(parameter: Tensor | None, x: Heads, heads: list[int] | None) -> Float[Tensor, "_ 1 1 d_head"] | None:
    """A parameter that is one for each head, or the same for all."""
    if parameter is None:
        return None
    rows = parameter.view(-1, x.shape[-1])
    if len(rows) > 1:
        rows = rows.repeat_interleave(x.shape[1] // len(rows), 0) if heads is None else rows[heads]
    return rows[:, None, None]


def attend(
    attention: Attention,
    query: Heads,
    key: Float[Tensor, "batch kv_head _ key_pos d_head"],
    value: Float[Tensor, "batch kv_head _ key_pos d_head"],
    prefix: KeyValue | None,
    sight: Sight,
) -> tuple[Heads, Float[Tensor, "batch head variant pos key"]]:
    """Outputs z and patterns of all heads, given turned queries and keys; queries see the prefix, then the suffix."""
    n_heads = query.shape[1]
    scores = query @ spread(key, n_heads).transpose(-1, -2)
    if prefix is not None:
        flat = query.flatten(2, 3)
        before = flat @ spread(prefix.key, n_heads).transpose(-1, -2)
        scores = torch.cat([before.view(*query.shape[:-1], -1), scores], dim=-1)
    bias = None if sight.bias is None else sight.bias[:, :, None, None]
    pattern = final_scores(attention, scores, bias, sight.visible[:, None, None]).softmax(-1).to(query.dtype)
    n_prefix = 0 if prefix is None else prefix.key.shape[2]
    z = pattern[..., n_prefix:] @ spread(value, n_heads)
    if prefix is not None:
        flat = pattern[..., :n_prefix].flatten(2, 3) @ spread(prefix.value, n_heads)
        z = z + flat.view(z.shape)
    return z, pattern


def final_scores(attention: Attention, products: Tensor, bias: Tensor | None, visible: Tensor) -> Tensor:
    """The scores that the softmax reads, in the stream's precision, from products of queries and keys."""
    scores = products.to(torch.promote_types(products.dtype, torch.float32)).mul_(attention.scale)
    if attention.cap is not None:
        scores = attention.cap * torch.tanh(scores / attention.cap)
    if bias is not None:
        scores = scores + bias
    return scores.masked_fill_(~visible, -torch.inf)


def written(attention: Attention, z: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    """z', what the attention writes (its bias included), and the post norm's hat and inverse where there is one.

    Args:
        z: outputs of all heads, joined, [*rows, columns].
    """
    total = attention.out(z)
    if attention.post is None:
        if attention.multiplier == 1:
            return z, total, None
        return z * attention.multiplier, total * attention.multiplier, None
    exact = total.to(torch.promote_types(total.dtype, torch.float32))
    hat, inverse = attention.post.hat(exact)
    own = (z * (inverse * attention.multiplier)).to(z.dtype)
    return own, attention.post.scaled(hat) * attention.multiplier, (hat, inverse)


def write_of(attention: Attention, own: Tensor) -> Tensor:
    """What the attention writes, its bias included, given z'."""
    if attention.post is None and attention.multiplier == 1:
        return attention.out(own)
    total = own.reshape(-1, own.shape[-1]).to(attention.out.weight.dtype) @ attention.out.weight
    total = total.view(*own.shape[:-1], -1)
    if attention.post is not None and attention.post.gain is not None:
        total = total * attention.post.gain
    return total + attention.bias


def head_outputs(weights: Weights, layer: int) -> Float[Tensor, "head d_head d_model"]:
    """W'_O of a layer, head by head."""
    attention = weights.blocks[layer].attention
    matrices = attention.out.weight.unflatten(0, (weights.n_heads, weights.d_head))
    if attention.post is None or attention.post.gain is None:
        return matrices
    return (matrices * attention.post.gain).to(matrices.dtype)
