"""What sources write beyond their ablation values, and the products that mix it with masks.

With delta_s = c_s - p_s and a mask k_sd for every edge, the input of a destination is x_d = P_d + sum over s of k_sd
delta_s. For several destinations that is one product of masks [row, src] and deltas [src, batch * pos * d_model]; two
more give the way back: dL/ddelta_s = sum over d of k_sd dL/dx_d, and dL/dk_sd = <dL/dx_d, delta_s>.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.engine.batch import EngineBatch

Rows = Float[Tensor, "row batch 1 pos d_model"]
Masks = Float[Tensor, "draw row src"]
"""One ``draw`` for all pairs of a batch, or one for each."""


class Slots:
    """Numbers of all sources under a name of the batch's workspace, [slot, batch, 1, pos, d_model]: the first slot is
    for a total, that of a source is the one behind its index. ``whole`` at all positions, of the sources before the
    last block; ``read`` at the read positions, of all. Where every position is read both are the same tensor."""

    def __init__(self, batch: EngineBatch, name: str) -> None:
        weights, graph, self._frame = batch.weights, batch.weights.graph, batch.frame
        n_sources, everything = len(graph.sources), batch.frame.reads_everything
        self._n_whole = 1 + (n_sources if everything else graph.heads(max(batch.last, 0)).start)
        pairs, width = batch.frame.clean.shape

        def room(part: str, count: int, steps: int) -> Tensor:
            size = (_padded(count), pairs, 1, steps, weights.d_model)
            return batch.workspace.take(f"{name} {part}", size, weights.stream_dtype)

        self.whole = room("whole", self._n_whole, width)
        self.read = self.whole if everything else room("read", 1 + n_sources, batch.frame.read.shape[1])

    def of(self, sources: slice, reading: bool) -> Rows:
        """Those of some sources, at the read positions or at all."""
        return (self.read if reading else self.whole)[1 + sources.start : 1 + sources.stop]

    def whole_to_read(self) -> None:
        """Take the read positions of what stands at all."""
        if self.read is not self.whole:
            selected = self._frame.at_read(self.whole[1 : self._n_whole].transpose(0, 1), 3)
            self.read[1 : self._n_whole] = selected.transpose(0, 1)

    def read_to_whole(self) -> None:
        """The transpose of :meth:`whole_to_read`, with nothing at other positions."""
        if self.read is not self.whole:
            added = self._frame.from_read(self.read[1 : self._n_whole].transpose(0, 1), 3)
            self.whole[1 : self._n_whole] = added.transpose(0, 1)

    def mixed(self, total: Tensor, masks: Masks, reading: bool, out: Rows) -> Rows:
        """Total + the first sources, each by its mask, for each row of masks: one product into ``out``."""
        slots = self.read if reading else self.whole
        slots[0] = total
        masks = torch.cat([masks.new_ones(*masks.shape[:2], 1), masks], dim=-1)
        slots = slots[: masks.shape[2]]
        if len(masks) == 1:
            torch.mm(masks[0], slots.flatten(1), out=out.flatten(1))
        else:
            torch.bmm(masks, slots.flatten(2).transpose(0, 1), out=out.flatten(2).transpose(0, 1))
        return out

    def products(self, rows: Rows, n_sources: int, n_draws: int, reading: bool) -> Masks:
        """<row, source> with the first sources, over positions and over the pairs that share a draw."""
        slots = (self.read if reading else self.whole)[: _padded(1 + n_sources)]
        if n_draws == 1:
            found = (rows.flatten(1) @ slots.flatten(1).T)[None]
        else:
            found = rows.flatten(2).transpose(0, 1) @ slots.flatten(2).permute(1, 2, 0)
        return found[..., 1 : 1 + n_sources]


def mix_into(target: Rows, masks: Masks, rows: Float[Tensor, "src batch 1 pos d_model"]) -> None:
    """Add rows, each by its mask, to those of the target."""
    if len(masks) == 1:
        target.flatten(1).addmm_(masks[0], rows.flatten(1))
    else:
        target.flatten(2).transpose(0, 1).baddbmm_(masks, rows.flatten(2).transpose(0, 1))


def _padded(count: int) -> int:
    """Products with a multiple of 16 rows are faster; what is multiplied too much is not read."""
    return -(-count // 16) * 16
