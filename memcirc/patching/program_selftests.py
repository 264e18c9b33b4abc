"""Tests that run before a sweep over a program, on its first example (:mod:`memcirc.patching.selftests`)."""

from collections.abc import Sequence
from dataclasses import replace

from memcirc.patching.patches import Patch
from memcirc.patching.program_runs import ProgramRun, run_patched
from memcirc.patching.programs import at_step, first_example
from memcirc.patching.selftests import judge, noise_like


def check_places(base: ProgramRun, kinds: Sequence[str]) -> float:
    """The largest change by a self-patch.

    Every kind is written at the first latent step of the first layer, later steps recomputed: what is there (nothing
    may change) and noise (the logits must change). Not tested by noise in a model of one layer, where what follows
    attention reaches the answer through the feed alone.

    Args:
        base: a run with the kinds recorded.

    Raises:
        ValueError: a test fails.
    """
    first = _first_run(base)
    patches = [Patch((at_step(first.program, kind, 0, 0),)) for kind in kinds]
    noise = {key: value + noise_like(value) for key, value in first.found.items()}
    unchanged, noisy = (
        run_patched(first, replace(first, found=found), patches, "propagate").logits[:, 0]
        for found in (first.found, noise)
    )
    if len(base.weights.blocks) == 1:
        noisy = unchanged + 1
    return max(
        judge(patch.label, first.logits[0], same, other, base.weights.dtype)
        for patch, same, other in zip(patches, unchanged, noisy, strict=True)
    )


def _first_run(run: ProgramRun) -> ProgramRun:
    return replace(
        run,
        program=first_example(run.program),
        embeds=run.embeds[:1],
        final=run.final[:1],
        found={key: value[:1] for key, value in run.found.items()},
        generated=run.generated[:1],
        logits=run.logits[:1],
    )
