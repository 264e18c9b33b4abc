"""Edge scores as products of destination gradients with source differences.

The score of s -> d is <gradient at x_d, p_s - c_s>, summed over positions. With all sources' differences in one
buffer [src, batch, rows * d_model], and the gradients of the destinations that read (nearly) the same sources in
another, the scores of a layer are one matrix product against a prefix of the sources. Entries where there is no edge
are computed and never read.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.block import head_outputs
from memcirc.decoder.weights import Weights
from memcirc.decoder.workspace import Workspace
from memcirc.engine.frame import Frame
from memcirc.engine.plain import Outputs


class Differences:
    """p_s - c_s of all sources: ``whole`` at all positions for sources before the last block, ``read`` at the read
    positions for all."""

    def __init__(self, weights: Weights, frame: Frame, values: Outputs, outputs: Outputs, workspace: Workspace) -> None:
        shape = weights.graph.shape
        batch, pos = frame.clean.shape
        variants = max(x.shape[1] for x in (outputs.embed, *outputs.z, *outputs.mlp))
        n_sources, width = len(weights.graph.sources), shape.n_heads + shape.has_mlp
        n_whole = n_sources if frame.reads_everything else n_sources - width * (shape.n_layers > 0)
        self.whole = workspace.take(
            "whole", (_padded(n_whole), batch, variants, pos, weights.d_model), weights.stream_dtype
        )
        if frame.reads_everything:
            self.read = self.whole
        else:
            steps = frame.read.shape[1]
            self.read = workspace.take(
                "read", (_padded(n_sources), batch, variants, steps, weights.d_model), weights.stream_dtype
            )
        self.whole[0] = values.embed - outputs.embed
        for layer in range(shape.n_layers):
            target = self.read if layer == shape.n_layers - 1 else self.whole
            first = 1 + layer * width
            _heads_into(weights, layer, values.z[layer] - outputs.z[layer], target[first : first + shape.n_heads])
            if shape.has_mlp:
                torch.sub(values.mlp[layer], outputs.mlp[layer], out=target[first + shape.n_heads])
        if not frame.reads_everything:
            self.read[:n_whole] = frame.at_read(self.whole[:n_whole].transpose(0, 1), 3).transpose(0, 1)


def _padded(n_sources: int) -> int:
    """Products against a multiple of 16 sources are faster; what is multiplied too much is not read."""
    return -(-n_sources // 16) * 16


def _heads_into(weights: Weights, layer: int, z: Tensor, target: Tensor) -> None:
    """z [batch, variant, pos, columns] through each head's output matrix, into [head, batch, variant, pos, d_model]."""
    z = z.expand(*target.shape[1:4], -1)
    per_head = rearrange(z, "b v p (head d_head) -> head (b v p) d_head", head=weights.n_heads).to(weights.dtype)
    flat = target.view(len(target), -1, weights.d_model)
    if flat.dtype == per_head.dtype:
        torch.bmm(per_head, head_outputs(weights, layer), out=flat)
    else:
        flat.copy_(torch.bmm(per_head, head_outputs(weights, layer)))


class Sheet:
    """Accumulates the scores [dst, src] (or [batch, dst, src]) of one batch against one buffer of differences.

    ``room`` hands out space for gradients; ``flush`` multiplies all that was written since the last one.
    """

    def __init__(
        self, differences: Float[Tensor, "src batch variant pos d_model"], scores: Tensor, buffer: Tensor
    ) -> None:
        self._differences = differences
        self._scores = scores
        self._buffer = buffer
        self._pending: list[tuple[int, int]] = []
        self._n_visible = 0

    def room(self, destination: int, count: int, n_visible: int) -> Float[Tensor, "count batch variant pos d_model"]:
        """Space for the gradients of ``count`` destinations from ``destination`` on."""
        used = sum(n for _, n in self._pending)
        assert used + count <= len(self._buffer)
        self._pending.append((destination, count))
        self._n_visible = max(self._n_visible, n_visible)
        return self._buffer[used : used + count]

    def flush(self) -> None:
        used = sum(n for _, n in self._pending)
        if not used:
            return
        gradients, sources = self._buffer[:used], self._differences[: _padded(self._n_visible)]
        if gradients.shape[2] != sources.shape[2]:
            gradients = gradients.sum(2, keepdim=True)
        if self._scores.ndim == 2:
            product = gradients.flatten(1) @ sources.flatten(1).T
        else:
            product = gradients.flatten(2).transpose(0, 1) @ sources.flatten(2).permute(1, 2, 0)
        row = 0
        for destination, count in self._pending:
            part = product[..., row : row + count, : self._n_visible]
            self._scores[..., destination : destination + count, : self._n_visible] += part
            row += count
        self._pending, self._n_visible = [], 0
