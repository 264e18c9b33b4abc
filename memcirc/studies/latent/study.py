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
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from scipy.stats import norm
from torch import Tensor

from memcirc.engine.weights import weights_of
from memcirc.models import load_model
from memcirc.patching.patches import Patch
from memcirc.patching.program_runs import POLICIES, PatchedRuns, ProgramRun, run_patched, run_program
from memcirc.patching.program_selftests import check_places
from memcirc.patching.programs import Program, at_step
from memcirc.patching.sites import KINDS, Site, hooks_of
from memcirc.statistics import wilson
from memcirc.studies.latent.config import LatentConfig
from memcirc.studies.latent.page import write_latent_page
from memcirc.studies.latent.results import Cell, LatentResults
from memcirc.studies.latent.task import SPELLED, LatentTask, adapted, small_task
from memcirc.studies.latent.training import load_projection, train
from memcirc.studies.stages import made_once, write_results, write_table
from memcirc.work.progress import say

COMPONENTS = [name for name, kind in KINDS.items() if kind.component and kind.of_block and not kind.renames]
LATENT_IN = "latent_in"
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
    """Everything that is measured, and the long table: a row a patch and pair."""
    weights, device = weights_of(task.model), task.model.device
    answers, others = (
        torch.tensor([list(a) for a in ids], device=device) for ids in (task.answers, task.corrupt_answers)
    )
    accuracy = {
        k: float(_says(run_program(weights, task.program(task.clean, k)).generated, answers).double().mean())
        for k in range(task.steps + 1)
    }
    layers = len(weights.blocks)
    program = task.program(task.corrupt)
    sites = _sites(task, program)
    kinds = sorted({where.kind for _, _, _, where in sites})
    base, source = (run_program(weights, p, kinds) for p in (program, task.program(task.clean)))
    clean_right, corrupt_wrong = _says(source.generated, answers), ~_says(base.generated, answers)
    partition = {
        f"clean {'right' if c else 'wrong'}, corrupt {'wrong' if k else 'right'}": int(
            ((clean_right == c) & (corrupt_wrong == k)).sum()
        )
        for c in (True, False)
        for k in (True, False)
    }
    usable = clean_right & corrupt_wrong
    if not usable.any():
        raise ValueError(
            f"of {len(usable)} pairs none is answered right on the clean question and wrong on the corrupt one "
            f"({', '.join(f'{count} {name}' for name, count in partition.items())}): nothing can be recovered"
        )
    self_patch = check_places(base, sorted({kind for kind, *_ in sites if kind != LATENT_IN}))
    patches = [Patch((where,)) for *_, where in sites]
    cells: list[Cell] = []
    tables, by_group = [], {}
    groups = torch.tensor(list(task.groups) or [0] * len(usable), device=device)
    for policy in POLICIES:
        say(f"{len(patches)} places patched, what comes after them: {policy}")
        runs = run_patched(base, source, patches, policy)
        switched = _says(runs.generated, answers)
        stayed = (runs.generated == base.generated).all(-1) & ~switched
        cells += [
            _cell(policy, about, switched[i, usable], stayed[i, usable], half_width) for i, about in enumerate(sites)
        ]
        tables.append(_table(policy, sites, runs, switched, stayed, usable, answers, groups))
        for name in (LATENT_IN, f"resid_post {layers - 1}"):
            rows = [i for i, (kind, layer, _, _) in enumerate(sites) if _named(kind, layer) == name]
            by_group[f"{policy}, {name}"] = np.array(
                [
                    [float(switched[i][usable & (groups == g)].double().mean()) for i in rows]
                    for g in groups.unique().tolist()
                ]
            )
    names = [str(g) for g in groups.unique().tolist()]
    return (
        LatentResults(
            accuracy=accuracy,
            partition=partition,
            cells=cells,
            by_group=by_group,
            expected=expected_recovery(task.steps, layers) if known else None,
            group_names=names,
            n_layers=layers,
            n_steps=task.steps,
            self_patch=self_patch,
            examples=_examples(task, base, source, others, known),
        ),
        pa.concat_tables(tables),
    )


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


def _named(kind: str, layer: int | None) -> str:
    return kind if layer is None else f"{kind} {layer}"


def _sites(task: LatentTask, program: Program) -> list[tuple[str, int | None, int, Site]]:
    """(component, layer, step, site) of everything that is patched."""
    known = set(hooks_of(task.model))
    found: list[tuple[str, int | None, int, Site]] = [
        (LATENT_IN, None, step, at_step(program, LATENT_IN, step)) for step in range(task.steps)
    ]
    for kind in COMPONENTS:
        for layer in range(task.model.hooked.cfg.n_layers):
            if Site(kind, layer).hook in known:
                found += [(kind, layer, step, at_step(program, kind, step, layer)) for step in range(task.steps)]
    return found


def _says(generated: Tensor, answers: Tensor) -> Tensor:
    return (generated == answers).all(-1)


def _cell(
    policy: str, about: tuple[str, int | None, int, Site], switched: Tensor, stayed: Tensor, half_width: float
) -> Cell:
    component, layer, step, _ = about
    n, k = len(switched), int(switched.sum())
    low, high = wilson(k, n)
    return Cell(
        policy, component, layer, step, n, k, int(stayed.sum()), n - k - int(stayed.sum()), low, high,
        sample_size(k / n, half_width),
    )  # fmt: skip


def sample_size(share: float, half_width: float, level: float = 0.95) -> int:
    """The smallest n whose Wilson interval around the share has at most the given half width."""
    z = float(norm.ppf((1 + level) / 2))
    low, high = 1, 1
    while _half(share, high, z) > half_width:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if _half(share, middle, z) > half_width else (low, middle)
    return high


def _half(share: float, n: int, z: float) -> float:
    return float(z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n))


def _table(
    policy: str, sites: Sequence[tuple[str, int | None, int, Site]], runs: PatchedRuns, switched: Tensor,
    stayed: Tensor, usable: Tensor, answers: Tensor, groups: Tensor,
) -> pa.Table:  # fmt: skip
    n_patches, n = switched.shape
    logprob = runs.logits.double().log_softmax(-1)
    chosen = logprob.gather(-1, answers[:, :1].expand(n_patches, -1, -1))[..., 0]
    repeated = np.repeat(np.arange(n_patches), n)
    columns: dict[str, Any] = {
        "policy": pa.array([policy] * (n_patches * n)),
        "component": pa.array([s[0] for s in sites]).take(pa.array(repeated)),
        "layer": pa.array([s[1] for s in sites], pa.int32()).take(pa.array(repeated)),
        "step": pa.array([s[2] for s in sites], pa.int32()).take(pa.array(repeated)),
        "example": pa.array(np.tile(np.arange(n), n_patches), pa.int32()),
        "group": pa.array(np.tile(groups.cpu().numpy(), n_patches)),
        "usable": pa.array(np.tile(usable.cpu().numpy(), n_patches)),
        "switched": pa.array(switched.flatten().cpu().numpy()),
        "stayed": pa.array(stayed.flatten().cpu().numpy()),
        "answer_logprob": pa.array(chosen.flatten().cpu().numpy()),
    }
    return pa.table(columns)


def _examples(
    task: LatentTask, base: ProgramRun, source: ProgramRun, others: Tensor, spelled: bool
) -> list[dict[str, str]]:
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
            "true answers": f"{text(task.answers[i])} / {text(others[i].tolist())}",
        }
        for i in range(0, len(task.clean), step)
    ][:SHOWN]
