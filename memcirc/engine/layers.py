"""The parts of a block as functions of plain weights. Activations are [batch, variant, pos, ...]: a variant is an
interpolation step or a circuit, run over the same prompts."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from memcirc.engine.activations import ACTIVATIONS
from memcirc.engine.rotary import Rotation
from memcirc.engine.weights import Block, Weights
from memcirc.engine.workspace import Workspace

Stream = Float[Tensor, "batch variant pos d_model"]
Heads = Float[Tensor, "batch head variant pos d_head"]


@dataclass(frozen=True, eq=False)
class KeyValue:
    """Keys (turned) and values of a layer's prefix, one for each pair."""

    key: Float[Tensor, "batch kv_head prefix d_head"]
    value: Float[Tensor, "batch kv_head prefix d_head"]

    def of_heads(self, heads: list[int]) -> "KeyValue":
        if heads == list(range(self.key.shape[1])):
            return self
        return KeyValue(self.key[:, heads], self.value[:, heads])


def normed(
    weights: Weights, x: Float[Tensor, "*rows d_model"], out: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """x centred (unless RMS) and divided by its scale, and 1/scale [*rows, 1]; without a norm x itself and None."""
    if weights.norm == "layer":
        if out is None:
            hat, _, inverse = torch.native_layer_norm(x, [x.shape[-1]], None, None, weights.eps)
            return hat, inverse
        mean, inverse = x.new_empty(2, *x.shape[:-1], 1)
        torch.ops.aten.native_layer_norm.out(
            x, [x.shape[-1]], None, None, weights.eps, out0=out, out1=mean, out2=inverse
        )
        return out, inverse
    if weights.norm == "rms":
        inverse = x.square().mean(-1, keepdim=True).add_(weights.eps).rsqrt_()
        return torch.mul(x, inverse, out=out), inverse
    return x, None


def split_heads(x: Float[Tensor, "batch variant pos columns"], d_head: int) -> Heads:
    return rearrange(x, "batch variant pos (head d_head) -> batch head variant pos d_head", d_head=d_head)


def join_heads(x: Heads) -> Float[Tensor, "batch variant pos columns"]:
    return rearrange(x, "batch head variant pos d_head -> batch variant pos (head d_head)")


def turned(rotation: Rotation | None, x: Tensor, back: bool = False) -> Tensor:
    return x if rotation is None else rotation(x, back)


def per_query_head(x: Tensor, n_heads: int) -> Tensor:
    """Keys or values of a group, repeated for each of its query heads (axis 1)."""
    groups = n_heads // x.shape[1]
    return x if groups == 1 else x.repeat_interleave(groups, dim=1)


def attention(
    weights: Weights,
    query: Heads,
    key: Float[Tensor, "batch kv_head variant key_pos d_head"],
    value: Float[Tensor, "batch kv_head variant key_pos d_head"],
    prefix: KeyValue | None,
    visible: Bool[Tensor, "batch pos key"],
) -> tuple[Heads, Float[Tensor, "batch head variant pos key"]]:
    """Outputs z and patterns of all heads; queries see the prefix, then the suffix."""
    n_heads = query.shape[1]
    scores = query @ per_query_head(key, n_heads).transpose(-1, -2)
    if prefix is not None:
        flat = query.flatten(2, 3)
        before = flat @ per_query_head(prefix.key, n_heads).transpose(-1, -2)
        scores = torch.cat([before.view(*query.shape[:-1], -1), scores], dim=-1)
    scores = scores.to(weights.stream_dtype).mul_(weights.scale)
    pattern = scores.masked_fill_(~visible[:, None, None], -torch.inf).softmax(-1).to(query.dtype)
    n_prefix = 0 if prefix is None else prefix.key.shape[2]
    z = pattern[..., n_prefix:] @ per_query_head(value, n_heads)
    if prefix is not None:
        flat = pattern[..., :n_prefix].flatten(2, 3) @ per_query_head(prefix.value, n_heads)
        z = z + flat.view(z.shape)
    return z, pattern


def mlp(
    weights: Weights, block: Block, hat: Stream, workspace: Workspace, name: str = "before"
) -> tuple[Stream, Tensor]:
    """Output of the MLP (its bias included) for a normed input, and what stands before its activation, which lasts
    until ``name`` is taken from the workspace again."""
    assert block.up is not None
    assert block.down is not None
    assert weights.activation is not None
    activation = ACTIVATIONS[weights.activation]
    before = block.up(hat, workspace.take(name, (*hat.shape[:-1], block.up.weight.shape[1]), weights.dtype))
    room = workspace.take("activated", (*hat.shape[:-1], block.down.weight.shape[0]), weights.dtype)
    if weights.gated:
        gate, linear = before.chunk(2, dim=-1)
        activated = activation.value_into(gate, room).mul_(linear)
    else:
        activated = activation.value_into(before, room)
    return block.down(activated).to(weights.stream_dtype), before


def final_normed(
    weights: Weights, x: Float[Tensor, "*rows d_model"], fixed_scale: bool = False
) -> Float[Tensor, "*rows d_model"]:
    """The last residual after the final norm, as the unembedding reads it. A ``fixed_scale`` is a constant to
    differentiation."""
    hat, inverse = normed(weights, x)
    if fixed_scale and inverse is not None:
        centred = x - x.mean(-1, keepdim=True) if weights.norm == "layer" else x
        hat = centred * inverse.detach()
    if weights.final_gain is not None:
        hat = hat * weights.final_gain
    return hat if weights.final_bias is None else hat + weights.final_bias
