"""Two runs side by side: the one that is written into (base) and the one whose values are written (source)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from memcirc.decoder.weights import Weights
from memcirc.metrics import SEQUENCE, Answers, Metric
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from memcirc.patching.engine import base_kinds
from memcirc.patching.measures import Question
from memcirc.patching.prompts import Prompts, prompts_of
from memcirc.patching.runs import RecordedRun, RunPair, run

DIRECTIONS = ("denoise", "noise")
RECORDED_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class Side:
    """A model with the prompts that it reads."""

    model: Model
    prompts: Prompts

    @cached_property
    def weights(self) -> Weights:
        return self.model.weights


@dataclass(frozen=True, eq=False)
class Comparison:
    """Base and source side; their prompts have the same positions."""

    base: Side
    source: Side

    @property
    def same_model(self) -> bool:
        """Whether one model makes both runs."""
        return self.base.model is self.source.model

    @property
    def n_layers(self) -> int:
        """The number of blocks, of either model."""
        return len(self.base.weights.blocks)

    @cached_property
    def shared(self) -> Tensor:
        """int64 [batch]: leading positions at which both runs are the same."""
        if not self.same_model or not self.base.weights.causal:
            return torch.zeros_like(self.base.prompts.lengths)
        return (self.base.prompts.ids == self.source.prompts.ids).long().cumprod(1).sum(1)

    def most_examples(self, kinds: Sequence[str]) -> int:
        """Examples whose recorded activations stay below ``RECORDED_BYTES``; at least one."""
        weights, prompts = self.base.weights, self.base.prompts
        widest = max(4 * weights.d_model, weights.d_mlp)
        numbers = len(weights.blocks) * prompts.ids.shape[1] * (len(kinds) + 3) * widest
        return max(1, RECORDED_BYTES // (2 * numbers * weights.stream_dtype.itemsize))

    def rows(self, rows: slice) -> "Comparison":
        """Of some of the examples."""
        return Comparison(*(Side(side.model, side.prompts.rows(rows)) for side in (self.base, self.source)))

    def record(self, kinds: Sequence[str]) -> RunPair:
        """Both runs with what a sweep over ``kinds`` needs. Within one model they are one batch, so that what is the
        same in both is the same to the last bit."""
        weights, prompts = self.base.weights, self.base.prompts
        both = sorted({*kinds, *base_kinds(weights)})
        if not self.same_model:
            other = run(self.source.weights, self.source.prompts, kinds)
            return RunPair(weights, prompts, run(weights, prompts, both), other, self.shared)
        b, s, n = prompts, self.source.prompts, len(prompts)
        stacked = Prompts(torch.cat([b.ids, s.ids]), torch.cat([b.lengths, s.lengths]), torch.cat([b.read, s.read]))
        found = run(weights, stacked, both)
        base, source = (
            RecordedRun({key: value[half] for key, value in found.found.items()}, found.final[half])
            for half in (slice(0, n), slice(n, None))
        )
        return RunPair(weights, prompts, base, source, self.shared)


def check_direction(direction: str) -> None:
    """Raises ValueError for a direction that is not known."""
    if direction not in DIRECTIONS:
        raise ValueError(f"direction {direction!r} is not known; accepted: {', '.join(DIRECTIONS)}")


def compared(
    model: Model,
    pairs: Pairs,
    metrics: Sequence[Metric],
    source_model: Model | None = None,
    direction: str = "denoise",
) -> tuple[Comparison, Question]:
    """The two runs over pairs that a direction compares, and the metrics of their answers.

    Args:
        model: of the run that is written into; source_model: of the other (default: the same).

    Raises:
        ValueError: models of different shape; pairs that the model or the metrics cannot read
            (:func:`memcirc.patching.prompts.prompts_of`); an answer outside the vocabulary.
    """
    source_model = source_model or model
    check_models(model, source_model)
    clean, corrupt = prompts_of(model, pairs, any(metric.reads == SEQUENCE for metric in metrics))
    base, source = (corrupt, clean) if direction == "denoise" else (clean, corrupt)
    question = Question(tuple(metrics), base, Answers.of(pairs, model.d_vocab, model.device))
    return Comparison(Side(model, base), Side(source_model, source)), question


def check_models(model: Model, other: Model) -> None:
    """Raises ValueError unless values of one model fit into the other and both read the same tokens."""
    if model is other:
        return
    ours, theirs = _facts(model), _facts(other)
    for name, value in ours.items():
        if value != theirs[name]:
            raise ValueError(
                f"the two models have different shapes: {name} is {value} in one and {theirs[name]} in the other"
            )
    a, b = model.tokenizer_fingerprint, other.tokenizer_fingerprint
    if a != b and None not in (a, b):
        raise ValueError(f"the two models have different tokenizers ({a} and {b}); the same ids mean other text")
    if model.dtype != other.dtype or model.device != other.device:
        raise ValueError("the two models differ in precision or device; load both alike")


def _facts(model: Model) -> dict[str, Any]:
    """What must be the same for values of one model to mean something in another."""
    weights = model.weights
    return {
        **asdict(weights.graph.shape),
        **{name: getattr(weights, name) for name in ("d_model", "d_head", "d_mlp", "d_vocab", "gated")},
        "learned_positions": weights.positions is not None,
        "rotary": sorted(weights.rotaries),
        "activations": sorted({block.mlp.activation for block in weights.blocks if block.mlp is not None}),
        "centred_norms": sorted({n.centred for block in weights.blocks if (n := block.attention.norm) is not None}),
    }
