"""Two runs side by side: the one that is written into (base) and the one whose values are written (source).

Examples go through in groups small enough for their recorded activations; every group is measured by the fast engine
where it is exact, and by full passes for the patches where it is not.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.engine.weights import Weights, weights_of
from memcirc.models import Model
from memcirc.patching import literal
from memcirc.patching.engine import base_kinds, kinds_to_record, patched_finals, slow_reason
from memcirc.patching.measures import Question
from memcirc.patching.patches import Patch
from memcirc.patching.runs import Prompts, Run, logits_of, run
from memcirc.patching.writes import Found

RECORDED_BYTES = 1 << 30
Progress = Callable[[int], object]


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


def ends(comparison: Comparison, question: Question) -> tuple[Float[Tensor, "metric batch"], Tensor, Question]:
    """Every metric on the base run and on the source run, and the question with the reference that ``kl`` needs."""
    examples = torch.arange(len(comparison.base.prompts), device=comparison.base.model.device)
    base, source = (run(side.weights, side.prompts).final for side in (comparison.base, comparison.source))
    if any(metric.removeprefix("neg_") == "kl" for metric in question.metrics):
        reference = logits_of(comparison.source.weights, source[:, 0])
        question = Question(question.metrics, question.prompts, question.answers, reference)
    return (
        question.of_final(comparison.base.weights, base, examples),
        question.of_final(comparison.source.weights, source, examples),
        question,
    )


def measure(
    comparison: Comparison,
    patches: Sequence[Patch],
    question: Question,
    base_values: Float[Tensor, "metric batch"],
    full_passes: bool = False,
    progress: Progress = lambda done: None,
) -> tuple[Float[Tensor, "metric patch batch"], list[str]]:
    """Every metric of every patch on every example, and the reasons for which some patches took full passes.

    Args:
        base_values: the metrics of the base run, which stand wherever a patch changes nothing.
        full_passes: take a full pass for every patch.
    """
    values = base_values[:, None].repeat(1, len(patches), 1)
    gate_bias = _gate_bias(comparison.base.model) or _gate_bias(comparison.source.model)
    reasons = ["asked for" if full_passes else slow_reason(patch, gate_bias) for patch in patches]
    fast = [i for i, reason in enumerate(reasons) if reason is None]
    slow = [i for i, reason in enumerate(reasons) if reason is not None]
    if fast:
        index = torch.tensor(fast, device=values.device)
        chosen = [patches[i] for i in fast]
        kinds = kinds_to_record(chosen, len(comparison.base.weights.blocks))
        for rows, group in comparison.groups(kinds):
            base, source = group.record(kinds)
            source_found = _means_over_all(comparison, chosen, kinds, source.found)
            for part in patched_finals(
                group.base.weights, group.base.prompts, base.found, source_found, chosen, group.shared
            ):
                example = part.example + rows.start
                values[:, index[part.patch], example] = question.of_final(group.base.weights, part.final, example)
            progress(len(fast) * len(group.base.prompts))
    if slow:
        _measure_slowly(comparison, [(i, patches[i]) for i in slow], question, values, progress)
    return values, sorted({reason for reason in reasons if reason is not None})


def _means_over_all(comparison: Comparison, patches: Sequence[Patch], kinds: Sequence[str], found: Found) -> Found:
    """The mean operation is over all examples, so it needs them in one group."""
    groups = list(comparison.groups(kinds))
    if len(groups) > 1 and any(patch.operation == "mean" for patch in patches):
        raise ValueError(f"operation 'mean' over {len(comparison.base.prompts)} prompts does not fit; give fewer")
    return found


def _measure_slowly(
    comparison: Comparison,
    numbered: Sequence[tuple[int, Patch]],
    question: Question,
    values: Tensor,
    progress: Progress,
) -> None:
    hooked, prompts = comparison.base.model.hooked, comparison.base.prompts
    patches = [patch for _, patch in numbered]
    hooks = sorted({where.hook for patch in patches for where in patch.sites})
    source_hooked = comparison.source.model.hooked
    found: dict[str, Tensor] = {}
    for patch in patches:
        missing = [where.hook for where in patch.sites if where.hook not in found]
        if missing:
            with literal.switched(source_hooked, [patch]):
                found |= literal.recorded(source_hooked, comparison.source.prompts.ids, missing)[1]
    assert set(hooks) == set(found)
    examples = torch.arange(len(prompts), device=values.device)
    before = literal.hook_count(hooked)
    for i, patch in numbered:
        logits = literal.patched_logits(hooked, prompts.ids, found, patch)
        read = logits.gather(1, prompts.read[..., None].expand(-1, -1, logits.shape[-1]))
        values[:, i] = question.of_logits(read, examples)
        progress(len(prompts))
    assert literal.hook_count(hooked) == before, "a hook was left on the model"


def _gate_bias(model: Model) -> bool:
    cfg = model.hooked.cfg
    if cfg.attn_only or not cfg.gated_mlp:
        return False
    return any(bool(block.mlp.b_in.any()) for block in model.hooked.blocks)
