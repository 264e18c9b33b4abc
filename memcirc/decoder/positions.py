"""How attention knows where a token stands: rotary embeddings (Su et al. 2021) and ALiBi (Press et al. 2022)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Rotary:
    """Queries and keys turn by angles that grow with their position: the first dimensions of a head, in adjacent pairs
    or across halves. ``table`` gives cos and sin of the positions below a length, each [length, dim]."""

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


@dataclass(frozen=True, eq=False)
class Alibi:
    """A number for each head and position of a key, added to every score with that key. ``table`` gives them for the
    positions below a length, [head, length]."""

    table: Callable[[int], Float[Tensor, "head length"]]

    def at(self, position: Int[Tensor, "batch key"]) -> Float[Tensor, "batch head key"]:
        return self.table(int(position.max()) + 1)[:, position].transpose(0, 1)
