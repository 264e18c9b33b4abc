"""Whole prompts of one length through the model: its logits, and the keys and values that it leaves behind."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.decoder.attention import Sight, attend, head_normed, join_heads, project, turned, written
from memcirc.decoder.block import Steps, final_normed, run_block
from memcirc.decoder.mlp import feed
from memcirc.decoder.norm import normed
from memcirc.decoder.weights import Weights
from memcirc.decoder.workspace import Workspace

Keep = Callable[[int, Tensor, Tensor], object]


class Forward:
    """A pass over token ids, [batch, pos], one variant of each.

    Args:
        keep: called with a layer's number, its keys (turned) and its values, each [batch, kv_head, pos, d_head].
    """

    def __init__(
        self, weights: Weights, ids: Int[Tensor, "batch pos"], workspace: Workspace, keep: Keep | None = None
    ) -> None:
        self.weights, self.workspace, self.keep = weights, workspace, keep
        position = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        self._distance = position[:, :, None] - position[:, None, :]
        self._rotations = {name: table.at(position) for name, table in weights.rotaries.items()}
        self._bias = None if weights.alibi is None else weights.alibi.at(position)
        self._start = weights.embed(ids, position)[:, None]

    def final(self) -> Float[Tensor, "batch pos d_model"]:
        """The residual behind the last block."""
        return self._behind(len(self.weights.blocks))[:, 0]

    def residuals(self) -> list[Float[Tensor, "batch pos d_model"]]:
        """The residual before each block, and behind the last one."""
        found, steps = [self._start], Steps(self._attention, self._mlp)
        for layer in range(len(self.weights.blocks)):
            found.append(run_block(self.weights, layer, found[-1], steps))
        return [residual[:, 0] for residual in found]

    def keys_and_values(self) -> None:
        """Give every layer's to ``keep``; of the last block nothing else is computed."""
        last = len(self.weights.blocks) - 1
        self._heads(last, self._behind(last))

    def _behind(self, n_blocks: int) -> Tensor:
        residual, steps = self._start, Steps(self._attention, self._mlp)
        for layer in range(n_blocks):
            residual = run_block(self.weights, layer, residual, steps)
        return residual

    def _heads(self, layer: int, residual: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys, turned, and values."""
        part = self.weights.blocks[layer].attention
        x = normed(part.norm, residual)
        query, key, value = project(part, x, x)
        turn = partial(turned, None if part.rotary is None else self._rotations[part.rotary])
        key = turn(head_normed(part.key_norm, part.joint, key))
        if self.keep is not None:
            self.keep(layer, key[:, :, 0], value[:, :, 0])
        return turn(head_normed(part.query_norm, part.joint, query)), key, value

    def _attention(self, layer: int, residual: Tensor) -> Tensor:
        part = self.weights.blocks[layer].attention
        visible = self._distance < (part.window or self.weights.n_ctx)
        if self.weights.causal:
            visible = visible & (self._distance >= 0)
        z, _ = attend(part, *self._heads(layer, residual), None, Sight(visible, self._bias))
        return written(part, join_heads(z))[1]

    def _mlp(self, layer: int, residual: Tensor) -> Tensor:
        part = self.weights.blocks[layer].mlp
        assert part is not None
        return feed(part, normed(part.norm, residual), self.workspace)[0]


def logits(weights: Weights, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_vocab"]:
    """The model's logits at every position, in the stream's precision."""
    final = Forward(weights, ids, Workspace(weights.device)).final()
    return weights.read_out(weights.unembed(final_normed(weights, final)))
