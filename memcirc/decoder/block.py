"""What a block computes, as functions of plain weights. Activations are [batch, variant, pos, ...]: a variant is an
interpolation step or a circuit, run over the same prompts.

With r the residual stream, n the norm before a branch and N the one after it (either may be missing),

    attention(r) = N(sum over heads of z_h W_O) * multiplier,      mlp(r) = N(down(inner(n(r)))) * multiplier,
    sequential: r' = r + attention(r),  r'' = r' + mlp(r');        parallel: r'' = r + attention(r) + mlp(r).

What head h *writes* is z'_h W'_O, where z' = z * multiplier/sigma with sigma the scale of N in that very run, and W'_O
has N's gain on its columns; so the writes add up to what the attention writes, up to its bias. Passes keep z'.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from memcirc.decoder.activations import ACTIVATIONS
from memcirc.decoder.norm import Norm
from memcirc.decoder.positions import Rotation
from memcirc.decoder.weights import Attention, Mlp, Weights
from memcirc.decoder.workspace import Workspace

Stream = Float[Tensor, "batch variant pos d_model"]
Heads = Float[Tensor, "batch head variant pos d_head"]
Keys = Float[Tensor, "batch kv_head variant pos d_head"]
Step = Callable[[int, Tensor], Tensor]


def _same(layer: int, x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class Steps:
    """What a pass does in each block, given the layer's number and a residual.

    Attributes:
        attention, mlp: what the branch writes, given the residual that it reads.
        trim: takes the positions that are wanted behind the attention.
        between: what becomes of the residual between the two branches of a sequential block.
    """

    attention: Step
    mlp: Step
    trim: Step = _same
    between: Step = _same


def run_blocks(weights: Weights, residual: Tensor, steps: Steps) -> Tensor:
    """The residual behind all blocks."""
    for layer in range(len(weights.blocks)):
        residual = run_block(weights, layer, residual, steps)
    return residual


def run_block(weights: Weights, layer: int, residual: Tensor, steps: Steps) -> Tensor:
    """The residual behind a block: which residual each branch reads, and how what they write joins it."""
    write = steps.attention(layer, residual)
    residual = steps.trim(layer, residual)
    if weights.blocks[layer].mlp is None:
        return residual + write
    if weights.graph.shape.parallel:
        return residual + write + steps.mlp(layer, residual)
    residual = steps.between(layer, residual + write)
    return residual + steps.mlp(layer, residual)


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


def hat_of(
    norm: Norm | None, x: Float[Tensor, "*rows d_model"], out: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """:meth:`memcirc.decoder.norm.Norm.hat`; without a norm x itself and None."""
    return (x, None) if norm is None else norm.hat(x, out)


def scaled(norm: Norm | None, hat: Tensor, out: Tensor | None = None) -> Tensor:
    """What a branch's products read, given its hat."""
    return hat if norm is None else norm.scaled(hat, out)


def normed(norm: Norm | None, x: Tensor) -> Tensor:
    """What a branch's products read, given the residual."""
    return x if norm is None else norm(x)


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


@dataclass(frozen=True, eq=False)
class Inner:
    """Of an MLP's run: what stands before its activation, and beside it where it is gated; the hat and inverse of its
    post norm."""

    before: Tensor
    linear: Tensor | None
    post: tuple[Tensor, Tensor] | None


def feed(mlp: Mlp, x: Stream, workspace: Workspace, name: str = "before") -> tuple[Stream, Inner]:
    """What an MLP writes for what its norm gives. The second result lasts until ``name`` is taken from the workspace
    again."""
    activation, dtype = ACTIVATIONS[mlp.activation], mlp.up.weight.dtype
    shape = (*x.shape[:-1], mlp.up.width)
    x = x.to(dtype)
    room = workspace.take("activated", shape, dtype)
    if mlp.gate is None:
        before, linear = mlp.up(x, workspace.take(name, shape, dtype)), None
        activated = activation.value_into(before, room)
    else:
        before = mlp.gate(x, workspace.take(name, shape, dtype))
        linear = mlp.up(x, workspace.take(f"{name} linear", shape, dtype))
        activated = activation.value_into(before, room).mul_(linear)
    out = mlp.down(activated).to(torch.promote_types(dtype, torch.float32))
    post = None
    if mlp.post is not None:
        post = mlp.post.hat(out)
        out = mlp.post.scaled(post[0])
    return (out if mlp.multiplier == 1 else out * mlp.multiplier), Inner(before, linear, post)


def final_normed(
    weights: Weights, x: Float[Tensor, "*rows d_model"], fixed_scale: bool = False
) -> Float[Tensor, "*rows d_model"]:
    """The last residual after the final norm, as the unembedding reads it. A ``fixed_scale`` is a constant to
    differentiation."""
    norm = weights.final_norm
    if norm is None:
        return x
    hat, inverse = norm.hat(x)
    if fixed_scale:
        hat = (x - x.mean(-1, keepdim=True) if norm.centred else x) * inverse.detach()
    return norm.scaled(hat)
