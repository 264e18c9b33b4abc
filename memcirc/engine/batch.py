"""What passes over one batch have in common: weights, positions, the keys and values before them, memory to work in."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from memcirc.decoder.attention import KeyValue, attend, head_normed, turned
from memcirc.decoder.weights import Weights
from memcirc.decoder.workspace import Workspace
from memcirc.engine.frame import Frame

Prefix = Sequence[KeyValue] | None


@dataclass(frozen=True, eq=False)
class EngineBatch:
    """A frame of suffixes, made ready to be run."""

    weights: Weights
    frame: Frame
    prefix: Prefix
    workspace: Workspace

    @property
    def last(self) -> int:
        """The number of the last block."""
        return len(self.weights.blocks) - 1

    def prefix_of(self, layer: int) -> KeyValue | None:
        """Keys and values of a layer's prefix, one for each that the weights have."""
        return None if self.prefix is None else self.prefix[layer]

    def turned_query(self, layer: int, query: Tensor, reading: bool) -> Tensor:
        """Queries as scores take them: normed and turned; ``reading`` are those of the read positions."""
        attention = self.weights.blocks[layer].attention
        normed = head_normed(attention.query_norm, attention.joint, query)
        return turned(self.frame.rotation(attention.rotary, reading), normed)

    def turned_key(self, layer: int, key: Tensor) -> Tensor:
        """Keys as scores take them."""
        attention = self.weights.blocks[layer].attention
        return turned(self.frame.rotation(attention.rotary), head_normed(attention.key_norm, attention.joint, key))

    def attended(self, layer: int, query: Tensor, key: Tensor, value: Tensor, reading: bool) -> tuple[Tensor, Tensor]:
        """Outputs z and patterns of a layer's heads, given turned queries and keys."""
        attention = self.weights.blocks[layer].attention
        sight = self.frame.sight(attention.window, reading)
        return attend(attention, query, key, value, self.prefix_of(layer), sight)
