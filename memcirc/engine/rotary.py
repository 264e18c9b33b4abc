"""Rotary position embedding: queries and keys turn by angles that grow with their position (Su et al. 2021)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Rotary:
    """Rotary position embedding: the first ``dim`` dimensions of a head turn, in adjacent pairs or across halves."""

    adjacent: bool
    table: Callable[[int], tuple[Tensor, Tensor]]

    def at(self, position: Int[Tensor, "batch pos"]) -> "Rotation":
        cos, sin = self.table(int(position.max()) + 1)
        return Rotation(cos[position], sin[position], self.adjacent)


@dataclass(frozen=True, eq=False)
class Rotation:
    """The turn of queries and keys at given positions."""

    cos: Float[Tensor, "batch pos dim"]
    sin: Float[Tensor, "batch pos dim"]
    adjacent: bool

    def __call__(self, x: Float[Tensor, "batch head variant pos d_head"], back: bool = False) -> Tensor:
        """Turn ``x``, or turn it back (the transpose)."""
        dim = self.cos.shape[-1]
        cos, sin = self.cos[:, None, None].to(x.dtype), self.sin[:, None, None].to(x.dtype)
        turning = x[..., :dim]
        turned = turning * cos + self._quarter_turn(turning) * (-sin if back else sin)
        return turned if dim == x.shape[-1] else torch.cat([turned, x[..., dim:]], dim=-1)

    def _quarter_turn(self, x: Tensor) -> Tensor:
        if self.adjacent:
            return torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
        first, second = x.chunk(2, dim=-1)
        return torch.cat([-second, first], dim=-1)


def rotary_of(hooked: Any) -> Rotary:
    """The model's own table of angles, extended where prompts are longer."""
    attn = hooked.blocks[0].attn
    cfg = hooked.cfg

    def table(length: int) -> tuple[Tensor, Tensor]:
        if length > len(attn.rotary_cos):
            sin, cos = attn.calculate_sin_cos_rotary(
                cfg.rotary_dim, length, base=attn._rotary_base(), dtype=attn.rotary_cos.dtype
            )
            return cos.to(attn.rotary_cos.device), sin.to(attn.rotary_sin.device)
        return attn.rotary_cos, attn.rotary_sin

    return Rotary(cfg.rotary_adjacent_pairs, table)
