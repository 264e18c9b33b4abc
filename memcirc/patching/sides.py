"""Two runs side by side: the one that is written into (base) and the one whose values are written (source)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from memcirc.engine.weights import Weights, weights_of
from memcirc.models import Model
from memcirc.patching.engine import base_kinds
from memcirc.patching.runs import Prompts, Run, run

RECORDED_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class Side:
    """A model with its prompts."""

    model: Model
    prompts: Prompts

    @cached_property
    def weights(self) -> Weights:
        return weights_of(self.model)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Base and source side; their prompts have the same positions."""

    base: Side
    source: Side

    @property
    def same_model(self) -> bool:
        return self.base.model is self.source.model

    @property
    def n_layers(self) -> int:
        return len(self.base.weights.blocks)

    @cached_property
    def shared(self) -> Tensor:
        """int64 [batch]: leading positions at which both runs are the same."""
        if not self.same_model or not self.base.weights.causal:
            return torch.zeros_like(self.base.prompts.lengths)
        return (self.base.prompts.ids == self.source.prompts.ids).long().cumprod(1).sum(1)

    def groups(self, kinds: Sequence[str]) -> Iterator[tuple[slice, "Comparison"]]:
        """Groups of examples whose recorded activations stay below ``RECORDED_BYTES``."""
        weights, prompts = self.base.weights, self.base.prompts
        block = weights.blocks[0]
        widest = max(4 * weights.d_model, block.up.weight.shape[1] if block.up is not None else 0)
        numbers = len(weights.blocks) * prompts.ids.shape[1] * (len(kinds) + 3) * widest
        size = max(1, RECORDED_BYTES // (2 * numbers * weights.stream_dtype.itemsize))
        for first in range(0, len(prompts), size):
            rows = slice(first, first + size)
            yield rows, Comparison(*(Side(s.model, s.prompts.rows(rows)) for s in (self.base, self.source)))

    def record(self, kinds: Sequence[str]) -> tuple[Run, Run]:
        """Both runs with what a sweep over ``kinds`` needs. Within one model they are one batch, so that what is the
        same in both is the same to the last bit."""
        both = sorted({*kinds, *base_kinds(self.base.weights)})
        if not self.same_model:
            return run(self.base.weights, self.base.prompts, both), run(self.source.weights, self.source.prompts, kinds)
        b, s = self.base.prompts, self.source.prompts
        stacked = Prompts(torch.cat([b.ids, s.ids]), torch.cat([b.lengths, s.lengths]), torch.cat([b.read, s.read]))
        found = run(self.base.weights, stacked, both)
        halves = [{key: value[half] for key, value in found.found.items()} for half in self._halves()]
        return Run(halves[0], found.final[: len(b)]), Run(halves[1], found.final[len(b) :])

    def _halves(self) -> tuple[slice, slice]:
        n = len(self.base.prompts)
        return slice(0, n), slice(n, None)
