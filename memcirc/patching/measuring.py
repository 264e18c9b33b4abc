"""Measuring patches: by the fast engine where it is exact, by full passes for the patches where it is not.

Examples go through in groups small enough for their recorded activations, patches in chunks of so many tokens; where
memory runs out all the same, in halves of these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.models import Model
from memcirc.patching import literal, selftests
from memcirc.patching.engine import default_budget, kinds_to_record, patched_finals, slow_reason
from memcirc.patching.measures import Question
from memcirc.patching.patches import Patch
from memcirc.patching.runs import RunPair
from memcirc.patching.sides import Comparison
from memcirc.patching.writes import has_places
from memcirc.work.fitting import Fitting

Progress = Callable[[int], object]


@dataclass(frozen=True, eq=False)
class Measured:
    """Every metric: of every patch [metric, patch, batch] (NaN where an example lacks a position that the patch names),
    of the base run and of the source run [metric, batch]; the smallest difference of its mean that means anything. And
    the reasons for which some patches took full passes; the largest change by a self-patch."""

    values: Float[Tensor, "metric patch batch"]
    base: Float[Tensor, "metric batch"]
    source: Float[Tensor, "metric batch"]
    resolution: Float[Tensor, " metric"]
    reasons: tuple[str, ...]
    self_patch: float


def measure(
    comparison: Comparison,
    patches: Sequence[Patch],
    question: Question,
    full_passes: bool = False,
    progress: Progress = lambda done: None,
) -> Measured:
    """Measure every patch on every example; the self-tests run on the first.

    Args:
        full_passes: take a full pass for every patch.

    Raises:
        ValueError: a self-test fails.
    """
    sweep, n = _Measuring(comparison, patches, question, full_passes, progress), len(comparison.base.prompts)
    examples, first = Fitting(comparison.most_examples(sweep.kinds)), 0
    while first < n:
        first += examples(partial(sweep.measure_from, first), partial(min, n - first))
    return sweep.measured()


class _Measuring:
    """A sweep at work: what is measured so far."""

    def __init__(
        self, comparison: Comparison, patches: Sequence[Patch], question: Question, full: bool, progress: Progress
    ) -> None:
        gate_bias = _gate_bias(comparison.base.model) or _gate_bias(comparison.source.model)
        self.reasons = ["asked for" if full else slow_reason(patch, gate_bias) for patch in patches]
        self.fast = [i for i, reason in enumerate(self.reasons) if reason is None]
        self.slow = [i for i, reason in enumerate(self.reasons) if reason is not None]
        self.chosen = [patches[i] for i in self.fast]
        self.kinds = kinds_to_record(self.chosen, comparison.n_layers)
        self.comparison, self.patches, self.question, self.progress = comparison, patches, question, progress
        device, shape = comparison.base.model.device, (len(question.metrics), len(comparison.base.prompts))
        self.values = torch.zeros(shape[0], len(patches), shape[1], dtype=torch.float64, device=device)
        self.low, self.high = torch.zeros(2, *shape, dtype=torch.float64, device=device)
        self.finest = torch.zeros(shape[0], dtype=torch.float64, device=device)
        self.self_patch = 0.0

    def measure_from(self, first: int, size: int) -> int:
        """Measure up to so many examples, from the first on; how many they were."""
        rows = slice(first, min(first + size, len(self.comparison.base.prompts)))
        group = self.comparison.rows(rows)
        n = len(group.base.prompts)
        _refuse_divided_means(self.patches, n, len(self.comparison.base.prompts))
        runs = group.record(self.kinds)
        asked = self.question.rows(rows).against(group.source.weights, runs.source.final)
        every = torch.arange(n, device=self.values.device)
        self.low[:, rows] = asked.of_final(group.base.weights, runs.base.final, every)
        self.high[:, rows] = asked.of_final(group.source.weights, runs.source.final, every)
        for side, run, ends in ((group.base, runs.base, self.low), (group.source, runs.source, self.high)):
            self.finest = self.finest.maximum(asked.resolution(side.weights, run.final, ends[:, rows]))
        values = self.values[:, :, rows]
        values.copy_(self.low[:, None, rows])
        if first == 0:
            self.self_patch = selftests.run_selftests(group, runs, self.patches, self.fast)
        if self.fast:
            all_tokens, row_tokens = len(self.fast) * group.base.prompts.ids.numel(), group.base.prompts.ids.shape[1]
            tokens = Fitting(default_budget(runs.weights), "tokens")
            tokens(
                partial(self._measure_fast, runs, asked, values),
                lambda size: min(size, all_tokens) if size > row_tokens else 1,  # a row is never divided
            )
        if self.slow:
            _measure_slowly(group, [(i, self.patches[i]) for i in self.slow], asked, values)
        self.progress(len(self.patches) * n)
        return n

    def _measure_fast(self, runs: RunPair, asked: Question, values: Tensor, tokens: int) -> None:
        index = torch.tensor(self.fast, device=values.device)
        for part in patched_finals(runs, self.chosen, tokens):
            values[:, index[part.patch], part.example] = asked.of_final(runs.weights, part.final, part.example)

    def measured(self) -> Measured:
        """All of it; NaN where an example lacks a position."""
        lacking = ~has_places(self.patches, self.comparison.base.prompts.lengths)
        said = tuple(sorted({reason for reason in self.reasons if reason is not None}))
        self.values.masked_fill_(lacking, torch.nan)
        return Measured(self.values, self.low, self.high, self.finest, said, self.self_patch)


def _refuse_divided_means(patches: Sequence[Patch], in_group: int, n: int) -> None:
    """The mean operation is over all examples, so it needs them in one group."""
    if in_group < n and any(patch.operation == "mean" for patch in patches):
        raise ValueError(f"operation 'mean' over {n} prompts does not fit into memory; at most {in_group} do")


def _measure_slowly(
    group: Comparison, numbered: Sequence[tuple[int, Patch]], question: Question, values: Tensor
) -> None:
    hooked, prompts = group.base.model.hooked, group.base.prompts
    source_hooked = group.source.model.hooked
    found: dict[str, Tensor] = {}
    for _, patch in numbered:
        missing = [where.hook for where in patch.sites if where.hook not in found]
        if missing:
            with literal.switched(source_hooked, [patch]):
                found |= literal.recorded(source_hooked, group.source.prompts.ids, missing)[1]
    examples = torch.arange(len(prompts), device=values.device)
    before = literal.hook_count(hooked)
    for i, patch in numbered:
        logits = literal.patched_logits(hooked, prompts.ids, found, patch, prompts.lengths)
        read = logits.gather(1, prompts.read[..., None].expand(-1, -1, logits.shape[-1]))
        values[:, i] = question.of_logits(read, examples)
    assert literal.hook_count(hooked) == before, "a hook was left on the model"


def _gate_bias(model: Model) -> bool:
    """Whether TransformerLens adds something between a gated MLP's ``mlp_post`` and its way out."""
    if model.hf is not None or not model.weights.gated:
        return False
    return any(bool(block.mlp.b_in.any()) for block in model.hooked.blocks)
