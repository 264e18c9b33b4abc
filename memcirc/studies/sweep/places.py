"""What a sweep was run on, and its places in words with their effects."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from memcirc.models import Model
from memcirc.pairs.record import Pairs
from memcirc.patching.result import Sweep
from memcirc.studies.blocks import numbered
from memcirc.studies.sweep.config import SweepConfig
from memcirc.studies.words import place, tokens


@dataclass(frozen=True)
class Place:
    """A patched place in words and as a hook, with its effect, the interval of that, the number of pairs that have it,
    and what the metric is in the base run of these."""

    words: str
    hook: str
    effect: float
    low: float
    high: float
    n: int
    base: float


@dataclass(frozen=True, eq=False)
class Swept:
    """A sweep with what it was run on."""

    model: Model
    pairs: Pairs
    sweep: Sweep
    config: SweepConfig

    @cached_property
    def places(self) -> Sequence[Place]:
        """What was patched, the place that moves the metric furthest first, with intervals over documents; without
        places that have no effect to measure."""
        config, sweep = self.config, self.sweep
        effects, counts = sweep.effects(config.metric), sweep.counts(config.metric)
        of_base = sweep.own_ends(config.metric)[0]
        low, high = sweep.intervals(config.metric, groups=self._documents)
        distance = np.abs(effects - (0.0 if config.normalize else of_base))
        return [
            Place(
                place(sweep.patches[i], self.positions), sweep.patches[i].label, float(effects[i]), float(low[i]),
                float(high[i]), int(counts[i]), float(of_base[i]),
            )
            for i in np.argsort(-distance, kind="stable")
            if not np.isnan(effects[i])
        ]  # fmt: skip

    @property
    def documents(self) -> int:
        """How many documents the pairs are of; of one there is no interval."""
        return len(set(self._documents))

    @property
    def _documents(self) -> Sequence[Hashable]:
        return [pair.doc_id or number for number, pair in enumerate(self.pairs)]

    @cached_property
    def positions(self) -> Sequence[str]:
        """Positions, with the tokens of a single pair (both, where clean and corrupt differ)."""
        if len(self.pairs) > 1 or self.model.tokenizer is None:
            return numbered(max(len(pair) for pair in self.pairs))
        clean, corrupt = (tokens(self.model, ids) for ids in (self.pairs[0].clean_ids, self.pairs[0].corrupt_ids))
        return [f"{i} {a}" if a == b else f"{i} {a}/{b}" for i, (a, b) in enumerate(zip(clean, corrupt, strict=True))]
