"""Edge scores as products of destination gradients with source differences.

The score of s -> d is <gradient at x_d, p_s - c_s>, summed over positions. With the sources' differences in a buffer
[src, batch, rows * d_model], and the gradients of the destinations that read (nearly) the same sources in another, the
scores of a layer are one matrix product against a prefix of the sources. Entries where there is no edge are computed
and never read.

Where the differences of all sources of a batch take more than :func:`memcirc.engine.frame.batch_bytes` (a single pair
that is long, or a large model), they are made layer by layer for each product: heads are kept as d_head numbers, so
that memory is that of one layer, at the price of making each layer's differences once for every layer above it.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.engine.batch import EngineBatch
from memcirc.engine.frame import batch_bytes
from memcirc.engine.outputs import Outputs

Chunk = Float[Tensor, "src batch variant pos d_model"]


class Differences:
    """p_s - c_s of all sources, at all positions for those before the last block, at the read positions for all; they
    last until the next ones with the same workspace."""

    def __init__(self, batch: EngineBatch, values: Outputs, outputs: Outputs) -> None:
        self._batch, self._values, self._outputs = batch, values, outputs
        weights, graph = batch.weights, batch.weights.graph
        self.variants = max(x.shape[1] for x in (outputs.embed, *outputs.z, *outputs.mlp))
        self._width = graph.shape.n_heads + graph.shape.has_mlp
        everything = batch.frame.reads_everything
        n_whole = len(graph.sources) - (0 if everything or not graph.shape.n_layers else self._width)
        one = batch.frame.clean.numel() * self.variants * weights.d_model * weights.stream_dtype.itemsize
        self.streamed = n_whole * one > batch_bytes(weights.device)
        if not self.streamed:
            self._whole = self._buffer("whole", n_whole, batch.frame.clean.shape[1])
            self._fill(self._whole, n_whole, at_read=False)
            self._read = self._whole
            if not everything:
                self._read = self._buffer("read", len(graph.sources), batch.frame.read.shape[1])
                self._read[:n_whole] = batch.frame.at_read(self._whole[:n_whole].transpose(0, 1), 3).transpose(0, 1)
                if n_whole < len(graph.sources):
                    self._layer_into(graph.shape.n_layers - 1, self._read[n_whole : len(graph.sources)], at_read=True)

    def chunks(self, at_read: bool, n_visible: int) -> Iterator[tuple[int, Chunk]]:
        """The first ``n_visible`` sources, maybe more: each chunk with its first source's index; in a stream each lasts
        until the next."""
        if not self.streamed:
            yield 0, (self._read if at_read else self._whole)[: _padded(n_visible)]
            return
        steps = self._batch.frame.read.shape[1] if at_read else self._batch.frame.clean.shape[1]
        yield 0, self._embed(at_read).expand(len(self._batch.frame), self.variants, steps, -1)[None]
        for layer, first in enumerate(range(1, n_visible, self._width)):
            room = self._buffer("streamed", self._width, steps)[: self._width]
            self._layer_into(layer, room, at_read)
            yield first, room

    def _buffer(self, name: str, n_sources: int, steps: int) -> Tensor:
        weights, pairs = self._batch.weights, len(self._batch.frame)
        size = _padded(n_sources), pairs, self.variants, steps, weights.d_model
        return self._batch.workspace.take(name, size, weights.stream_dtype)

    def _fill(self, buffer: Tensor, n_sources: int, at_read: bool) -> None:
        buffer[0] = self._embed(at_read)
        for layer, first in enumerate(range(1, n_sources, self._width)):
            self._layer_into(layer, buffer[first : first + self._width], at_read)

    def _embed(self, at_read: bool) -> Tensor:
        return self._selected(self._values.embed - self._outputs.embed, at_read)

    def _layer_into(self, layer: int, target: Tensor, at_read: bool) -> None:
        """The differences of a layer's heads and MLP; those of the last block are at the read positions anyway."""
        weights, selects = self._batch.weights, at_read and layer < self._batch.last
        n_heads = weights.n_heads
        difference = self._values.heads(layer).minus(self._outputs.heads(layer))
        replace(difference, z=self._selected(difference.z, selects, 3)).each_into(target[:n_heads])
        if weights.graph.shape.has_mlp:
            ablated, own = (self._selected(x.mlp[layer], selects) for x in (self._values, self._outputs))
            torch.sub(ablated, own, out=target[n_heads])

    def _selected(self, x: Tensor, at_read: bool, axis: int = 2) -> Tensor:
        return self._batch.frame.at_read(x, axis) if at_read else x


def _padded(n_sources: int) -> int:
    """Products against a multiple of 16 sources are faster; what is multiplied too much is not read."""
    return -(-n_sources // 16) * 16


class Sheet:
    """Accumulates the scores [dst, src] (or [batch, dst, src]) of one batch against its differences.

    ``room`` hands out space for gradients; ``flush`` multiplies all that was written since the last one.
    """

    def __init__(self, differences: Differences, at_read: bool, scores: Tensor, buffer: Tensor) -> None:
        self._differences, self._at_read = differences, at_read
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
        gradients = self._buffer[:used]
        if gradients.shape[2] != self._differences.variants:
            gradients = gradients.sum(2, keepdim=True)
        for first, sources in self._differences.chunks(self._at_read, self._n_visible):
            self._add(gradients, sources, first)
        self._pending, self._n_visible = [], 0

    def _add(self, gradients: Tensor, sources: Tensor, first: int) -> None:
        """The products with a chunk of sources, ``first`` being the index of its first one."""
        if self._scores.ndim == 2:
            product = gradients.flatten(1) @ sources.flatten(1).T
        else:
            product = gradients.flatten(2).transpose(0, 1) @ sources.flatten(2).permute(1, 2, 0)
        stop, row = min(first + len(sources), self._n_visible), 0
        for destination, count in self._pending:
            part = product[..., row : row + count, : stop - first]
            self._scores[..., destination : destination + count, first:stop] += part
            row += count
