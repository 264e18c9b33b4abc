"""What sources write in a run, and how what one run's heads write differs from another's."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.attention import head_outputs, join_heads, split_heads, write_of, written
from memcirc.decoder.weights import Attention, Weights


@dataclass(frozen=True, eq=False)
class HeadWrites:
    """What some heads of a layer write, as two factors: z' and their output matrices, those of ``weights``."""

    weights: Weights
    z: Float[Tensor, "_ head _ _ d"]
    matrices: Float[Tensor, "head d d_model"]

    def minus(self, other: "HeadWrites") -> "HeadWrites":
        """The difference, in the same form: of one model the difference of z', of two both side by side."""
        if other.weights is self.weights:
            n_pairs, n_heads, variants, n_pos, d = map(max, self.z.shape, other.z.shape)
            joined = self.z.new_empty(n_pairs, variants, n_pos, n_heads, d)  # as products read it
            z = torch.sub(self.z, other.z, out=joined.permute(0, 3, 1, 2, 4))
            return HeadWrites(self.weights, z, self.matrices)
        z = torch.cat(_alike(self.z, -other.z), dim=-1)
        return HeadWrites(self.weights, z, torch.cat([self.matrices, other.matrices], dim=1))

    def of(self, chosen: list[int]) -> "HeadWrites":
        """Those of some of the heads, by their places."""
        which = neighbours(chosen)
        return HeadWrites(self.weights, self.z[:, which], self.matrices[which])

    def sum(self) -> Float[Tensor, "batch variant pos d_model"]:
        """What all of them write together."""
        rows = rearrange(self.z, "batch head variant pos d -> batch variant pos (head d)")
        return (rows.to(self.matrices.dtype) @ self.matrices.flatten(0, 1)).to(self.weights.stream_dtype)

    def each_into(self, target: Float[Tensor, "head batch variant pos d_model"]) -> None:
        """What each of them writes, alike in all variants where z' is."""
        z = self.z.expand(target.shape[1], -1, *target.shape[2:4], -1)
        rows = rearrange(z, "batch head variant pos d -> head (batch variant pos) d").to(self.matrices.dtype)
        flat = target.view(len(target), -1, target.shape[-1])
        if flat.dtype == rows.dtype:
            torch.bmm(rows, self.matrices, out=flat)
        else:
            flat.copy_(torch.bmm(rows, self.matrices))


def neighbours(chosen: list[int]) -> slice | list[int]:
    """What selects these indices, without a copy where they follow each other."""
    first, count = chosen[0], len(chosen)
    return slice(first, first + count) if chosen == list(range(first, first + count)) else chosen


def own_outputs(attention: Attention, z: Float[Tensor, "_ head _ _ d"]) -> Float[Tensor, "_ head _ _ d"]:
    """z' of all heads of a layer, or where they are not coupled of some, from z."""
    if attention.post is not None:
        return split_heads(written(attention, join_heads(z))[0], z.shape[-1])
    return z if attention.multiplier == 1 else z * attention.multiplier


def _alike(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both, with axes of length 1 expanded to the other's."""
    shape = torch.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    return a.expand(*shape, -1), b.expand(*shape, -1)


@dataclass(frozen=True, eq=False)
class Outputs:
    """What the sources of a model write, [batch, variant, pos, ...] (an axis of length 1 is the same all along it).

    Heads are kept as z' (:mod:`memcirc.decoder.attention`), before the output matrices of ``weights``: d_head instead
    of d_model numbers a head. Those of the last block are at the read positions, unless ``whole`` was asked for.
    """

    weights: Weights
    embed: Float[Tensor, "_ _ _ d_model"]
    z: tuple[Float[Tensor, "_ _ _ columns"], ...]
    mlp: tuple[Float[Tensor, "_ _ _ d_model"], ...]

    def heads(self, layer: int) -> HeadWrites:
        """What a layer's heads write."""
        z = split_heads(self.z[layer], self.weights.d_head)
        return HeadWrites(self.weights, z, head_outputs(self.weights, layer))

    def attention_write(self, layer: int, running: Weights) -> Tensor:
        """What a layer's heads write together, and the bias, which is the running model's."""
        own, bias = self.weights.blocks[layer].attention, running.blocks[layer].attention.bias
        write = write_of(own, self.z[layer])
        return write if running is self.weights else write - own.bias + bias
