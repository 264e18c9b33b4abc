"""Measuring patches: by the fast engine where it is exact, by full passes for the patches where it is not.

Examples go through in groups small enough for their recorded activations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.models import Model
from memcirc.patching import literal, selftests
from memcirc.patching.engine import kinds_to_record, patched_finals, slow_reason
from memcirc.patching.measures import Question
from memcirc.patching.patches import Patch
from memcirc.patching.sides import Comparison
from memcirc.patching.writes import has_places

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
    gate_bias = _gate_bias(comparison.base.model) or _gate_bias(comparison.source.model)
    reasons = ["asked for" if full_passes else slow_reason(patch, gate_bias) for patch in patches]
    fast = [i for i, reason in enumerate(reasons) if reason is None]
    slow = [i for i, reason in enumerate(reasons) if reason is not None]
    chosen, kinds = [patches[i] for i in fast], kinds_to_record([patches[i] for i in fast], comparison.n_layers)
    device, shape = comparison.base.model.device, (len(question.metrics), len(comparison.base.prompts))
    values = torch.zeros(shape[0], len(patches), shape[1], dtype=torch.float64, device=device)
    low, high = torch.zeros(2, *shape, dtype=torch.float64, device=device)
    finest = torch.zeros(shape[0], dtype=torch.float64, device=device)
    index, self_patch = torch.tensor(fast, device=device), 0.0
    for rows, group in comparison.groups(kinds):
        runs = group.record(kinds)
        asked = question.rows(rows).against(group.source.weights, runs.source.final)
        every = torch.arange(len(group.base.prompts), device=device)
        low[:, rows] = asked.of_final(group.base.weights, runs.base.final, every)
        high[:, rows] = asked.of_final(group.source.weights, runs.source.final, every)
        for side, run, ends in ((group.base, runs.base, low), (group.source, runs.source, high)):
            finest = finest.maximum(asked.resolution(side.weights, run.final, ends[:, rows]))
        values[:, :, rows] = low[:, None, rows]
        if rows.start == 0:
            self_patch = selftests.run_selftests(group, runs, patches, fast)
        if fast:
            _refuse_divided_means(chosen, len(every), shape[1])
            for part in patched_finals(runs, chosen):
                measured = asked.of_final(runs.weights, part.final, part.example)
                values[:, index[part.patch], part.example + rows.start] = measured
            progress(len(fast) * len(every))
        if slow:
            values[:, :, rows] = _measured_slowly(group, [(i, patches[i]) for i in slow], asked, values[:, :, rows])
            progress(len(slow) * len(every))
    values.masked_fill_(~has_places(patches, comparison.base.prompts.lengths), torch.nan)
    said = tuple(sorted({reason for reason in reasons if reason is not None}))
    return Measured(values, low, high, finest, said, self_patch)


def _refuse_divided_means(patches: Sequence[Patch], in_group: int, n: int) -> None:
    """The mean operation is over all examples, so it needs them in one group."""
    if in_group < n and any(patch.operation == "mean" for patch in patches):
        raise ValueError(f"operation 'mean' over {n} prompts does not fit into memory; at most {in_group} do")


def _measured_slowly(
    group: Comparison, numbered: Sequence[tuple[int, Patch]], question: Question, values: Tensor
) -> Tensor:
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
    return values


def _gate_bias(model: Model) -> bool:
    """Whether TransformerLens adds something between a gated MLP's ``mlp_post`` and its way out."""
    if model.hf is not None or not model.weights.gated:
        return False
    return any(bool(block.mlp.b_in.any()) for block in model.hooked.blocks)
