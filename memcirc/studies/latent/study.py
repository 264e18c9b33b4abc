"""The study of latent thoughts: which step, which layer carries the answer?

1. The model (trained here, or a user's through an adapter); how often it is right with all of its latent steps, and
   with fewer.
2. Every pair falls into one of four parts: is the clean question answered right, is the corrupt one answered with the
   clean answer? Recovery is counted where clean is right and corrupt is wrong.
3. Clean values are written into the corrupt run at every latent step: the vectors fed in, and every layer and
   component; once with later steps recomputed (propagate), once with them held (freeze_latents).
4. An answer may switch to the clean one, stay, or become a third.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from memcirc.models import load_model
from memcirc.patching.program_runs import POLICIES, ProgramRun, run_program
from memcirc.patching.program_selftests import check_places
from memcirc.patching.programs import LATENT_IN
from memcirc.studies.latent.config import LatentConfig
from memcirc.studies.latent.outcomes import (
    Judged,
    cells_of,
    judged_pairs,
    outcome_of,
    recovery,
    says,
    table_of,
    targets_of,
)
from memcirc.studies.latent.page import write_latent_page
from memcirc.studies.latent.results import LatentResults
from memcirc.studies.latent.task import SPELLED, LatentTask, adapted, small_task
from memcirc.studies.latent.training import load_projection, train
from memcirc.studies.stages import made_once, write_results, write_table
from memcirc.work.progress import say

SHOWN = 4


def run_latent(run_dir: Path, config: LatentConfig, force: bool, progress: bool) -> Path:
    """Run the study in a run directory and return the page's path."""
    task = adapted(config.adapter) if config.adapter else _trained(run_dir, config, force, progress)
    with torch.no_grad():
        results, table = study(task, config.half_width, known=not config.adapter)
    statement = {**task.model.statement(), **asdict(config)}
    write_table(run_dir / "latent" / "patches.parquet", table)
    content = {name: getattr(results, name) for name in results.__dataclass_fields__}
    write_results(run_dir / "latent" / "results.json", content | {"statement": statement})
    return write_latent_page(run_dir / "report", results, statement, config.half_width)


def _trained(run_dir: Path, config: LatentConfig, force: bool, progress: bool) -> LatentTask:
    folder = run_dir / "model"
    made_once(folder, {"seed": config.seed}, force, lambda: train(config.seed, folder, progress))
    model = load_model(str(folder), device=config.device)
    return small_task(model, load_projection(folder).to(model.device), config.n_pairs, config.seed + 1)


def study(task: LatentTask, half_width: float, known: bool) -> tuple[LatentResults, pa.Table]:
    """The results of every measurement on a task, and the long table, of which a row is a patch on a pair.

    Args:
        half_width: of an interval to which sample sizes are computed.
        known: the task is the small one, of which the right effects are known.
    """
    weights, program = task.model.weights, task.program(task.corrupt)
    targets = targets_of(task, program)
    kinds = sorted({target.site.kind for target in targets})
    base, source = (run_program(weights, p, kinds) for p in (program, task.program(task.clean)))
    judged = judged_pairs(task, base, source)
    self_patch = check_places(base, sorted({t.site.kind for t in targets if t.component != LATENT_IN}))
    outcomes = []
    for policy in POLICIES:
        say(f"{len(targets)} places patched, what comes after them: {policy}")
        outcomes.append(outcome_of(base, source, targets, policy, judged))
    last = f"resid_post {len(weights.blocks) - 1}"
    by_group = {
        f"{outcome.policy}, {name}": recovery(outcome, judged, [i for i, t in enumerate(targets) if t.name == name])
        for outcome in outcomes
        for name in (LATENT_IN, last)
    }
    results = LatentResults(
        accuracy=_accuracy(task, judged),
        partition=judged.partition,
        cells=[cell for outcome in outcomes for cell in cells_of(outcome, targets, judged.usable, half_width)],
        by_group=by_group,
        expected=expected_recovery(task.steps, len(weights.blocks)) if known else None,
        group_names=[str(group) for group in judged.groups.unique().tolist()],
        n_layers=len(weights.blocks),
        n_steps=task.steps,
        self_patch=self_patch,
        examples=_examples(task, base, source, known),
    )
    return results, pa.concat_tables([table_of(outcome, targets, judged) for outcome in outcomes])


def _accuracy(task: LatentTask, judged: Judged) -> dict[int, float]:
    """The share of clean questions answered right, by the number of latent steps."""
    weights = task.model.weights
    return {
        k: float(says(run_program(weights, task.program(task.clean, k)).generated, judged.answers).double().mean())
        for k in range(task.steps + 1)
    }


def expected_recovery(steps: int, layers: int) -> dict[str, np.ndarray]:
    """What the small task's recovery [step from which the thoughts differ, patched step] must be.

    The vector fed at step k holds result k (from 0). Propagated, a clean one brings the rest back as soon as it holds
    the first differing result; frozen, only the last one matters, from which the answer is read. The last residual at
    step k makes the vector of step k + 1: it matters one step earlier, not at the last step, and frozen not at all.
    """
    first, step = np.arange(steps)[:, None], np.arange(steps)[None]
    residual = (step >= np.maximum(first - 1, 0)) & (step <= steps - 2)
    name = f"resid_post {layers - 1}"
    return {
        f"propagate, {LATENT_IN}": (step >= first).astype(float),
        f"freeze_latents, {LATENT_IN}": np.broadcast_to(step == steps - 1, (steps, steps)).astype(float),
        f"propagate, {name}": residual.astype(float),
        f"freeze_latents, {name}": np.zeros((steps, steps)),
    }


def _examples(task: LatentTask, base: ProgramRun, source: ProgramRun, spelled: bool) -> list[dict[str, str]]:
    """Some pairs as text, with what the model says."""

    def text(ids: Sequence[int]) -> str:
        return " ".join(SPELLED[i] for i in ids) if spelled else task.model.decode(ids)

    step = max(1, len(task.clean) // SHOWN)
    return [
        {
            "clean": text(task.clean[i]),
            "says": text(source.generated[i].tolist()),
            "corrupt": text(task.corrupt[i]),
            "says there": text(base.generated[i].tolist()),
            "true answers": f"{text(task.answers[i])} / {text(task.corrupt_answers[i])}",
        }
        for i in range(0, len(task.clean), step)
    ][:SHOWN]
