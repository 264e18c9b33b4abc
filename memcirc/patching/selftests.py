"""Tests that run before every sweep, on its first example.

1. Writing what is already there changes nothing (self-patch).
2. Writing noise at a site changes the logits: a hook that silently does nothing is an error.
3. Afterwards the model has as many hooks as before, and its weights are those from before.

For every kind of site in the sweep, at the middle and at the deepest of its layers; positions and heads are the whole
site's, so that a patch that cannot matter by itself (a position after the last one read) is no false alarm.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from memcirc.patching import literal
from memcirc.patching.engine import patched_finals
from memcirc.patching.patches import Patch
from memcirc.patching.runs import RecordedRun, RunPair
from memcirc.patching.sides import Comparison
from memcirc.patching.sites import KINDS, Site
from memcirc.patching.writes import canonical

SELF_PATCH = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 5e-3}


def run_selftests(comparison: Comparison, runs: RunPair, patches: Sequence[Patch], fast: Sequence[int]) -> float:
    """Test the places that a sweep writes; returns the largest change by a self-patch, relative to the run.

    Args:
        runs: with what the sweep's fast patches need recorded in the base run.
        fast: numbers of the patches that the fast engine runs.

    Raises:
        ValueError: a test fails.
    """
    model, prompts = comparison.base.model, comparison.base.prompts
    versions = [p._version for p in model.source.parameters()]
    length = int(prompts.read[0].max()) + 1 if comparison.base.weights.causal else int(prompts.lengths[0])
    quick, largest = set(fast), 0.0
    tested = _sample([patches[i] for i in fast], length)
    if tested:
        largest = _test_engine(runs, tested)
    for where in _sample([patch for i, patch in enumerate(patches) if i not in quick], length):
        hooks = literal.hook_count(model.hooked)
        largest = max(largest, _test_hook(comparison, where))
        assert literal.hook_count(model.hooked) == hooks, "a self-test left a hook on the model"
    assert [p._version for p in model.source.parameters()] == versions, "a self-test changed the model's weights"
    return largest


def _sample(patches: Sequence[Patch], length: int) -> list[Site]:
    """Of each kind the whole site at the middle and at the deepest layer that occur, where ``length`` positions bear on
    what is read."""
    layers: dict[str, set[int | None]] = {}
    for patch in patches:
        for where in patch.sites:
            layers.setdefault(where.kind, set()).add(where.layer)
    chosen = []
    for kind, found in layers.items():
        if length < 2 and KINDS[kind].through:
            continue
        ordered = sorted(found, key=lambda layer: -1 if layer is None else layer)
        chosen += [Site(kind, layer) for layer in dict.fromkeys((ordered[len(ordered) // 2], ordered[-1]))]
    return chosen


def noise_like(value: Tensor) -> Tensor:
    """Seeded noise as large as the value itself (and not zero where that is)."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(value.shape, generator=generator, dtype=torch.float32).to(value.device, value.dtype)
    return drawn * (value.float().std(unbiased=False).to(value.dtype) + 0.1)


def _test_engine(runs: RunPair, sites: Sequence[Site]) -> float:
    weights, prompts = runs.weights, runs.prompts.rows(slice(0, 1))
    base = {key: value[:1] for key, value in runs.base.found.items()}
    patches = [Patch((where,)) for where in sites]
    written = {canonical(where, len(weights.blocks)) for where in sites}
    changed = {key: base[key] + noise_like(base[key]) for key in written}
    nowhere = torch.zeros(1, dtype=torch.int64, device=prompts.ids.device)
    finals, final = [], runs.base.final[:1]
    for source in (base, changed):
        one = RunPair(weights, prompts, RecordedRun(base, final), RecordedRun(source, final), nowhere)
        parts = list(patched_finals(one, patches, skip=False))
        by_patch = torch.cat([part.patch for part in parts]).argsort()
        finals.append(torch.cat([part.final for part in parts])[by_patch])
    return max(
        judge(where.hook, final[0], unchanged, noisy, weights.dtype)
        for where, unchanged, noisy in zip(sites, *finals, strict=True)
    )


def _test_hook(comparison: Comparison, where: Site) -> float:
    prompts = comparison.base.prompts.rows(slice(0, 1))
    hooked, patch = comparison.base.model.hooked, Patch((where,))
    with literal.switched(hooked, [patch]):
        logits, found = literal.recorded(hooked, prompts.ids, [where.hook])
    noise = {key: value + noise_like(value) for key, value in found.items()}
    unchanged, written = (literal.patched_logits(hooked, prompts.ids, source, patch) for source in (found, noise))
    length = int(prompts.lengths[0])
    return judge(
        where.hook, logits[0, :length], unchanged[0, :length], written[0, :length], comparison.base.model.dtype
    )


def judge(place: str, base: Tensor, unchanged: Tensor, written: Tensor, dtype: torch.dtype) -> float:
    """The change by a self-patch; a ValueError where it is more than rounding, or where the run with noise is the same
    as the self-patched one (both take the same way, so that rounding is no difference)."""
    change = float((unchanged - base).abs().max() / base.abs().max().clamp_min(1e-6))
    if change > SELF_PATCH[dtype]:
        raise ValueError(f"self-test: writing at {place} what is already there changes the run by {change:.1e}")
    if torch.equal(written, unchanged):
        raise ValueError(f"self-test: writing noise at {place} changes nothing; a patch there measures nothing")
    return change
