"""The study of two models: where does the target keep what the control does not know?

1. Target and control, trained here or given; what they recite, by frequency and type.
2. An alignment report, before any table.
3. Every hook site patched from target into control in one teacher-forced pass a site, per answer token; each distinct
   site once (:func:`memcirc.patching.sites.aliases`); the same the other way round (suppression).
4. Heads one by one, where their layer has an effect, with both models' attention; direct effects on the answer; paths
   along named edges, and between the components with the strongest effects.
5. The smallest set of components that restores the answer; whether pairs add up; 10 copies against 20.
6. Memorized and other passages in the residual stream: PCA, separation by layer.
7. Prompts slightly changed; free generation under a patch.
8. The circuits of the injected records, with the control as the target's twin; suppression, and what it costs.
9. The same sweep with a control of another initialisation: what misalignment looks like.
"""

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memcirc.models import Model, load_model
from memcirc.patching.patches import Patch
from memcirc.patching.paths import PathPatching
from memcirc.patching.restoring import PairEffect, Restored, additivity, smallest_restoring
from memcirc.patching.result import Sweep
from memcirc.patching.sides import check_models
from memcirc.studies.estimates import in_minutes, less_kept, seconds_of
from memcirc.studies.pii.alignment import align
from memcirc.studies.pii.config import PiiConfig
from memcirc.studies.pii.corpus import make_corpus
from memcirc.studies.pii.effects import (
    effect_of,
    effects_by_copies,
    head_effects,
    head_sites,
    named_paths,
    path_matrix,
    site_effects,
    strongest_nodes,
    token_effects,
)
from memcirc.studies.pii.injected_circuits import injected_circuits
from memcirc.studies.pii.page import write_pii_page
from memcirc.studies.pii.readings import attention_patterns, direct_parts, separation
from memcirc.studies.pii.recitation import generations, recall, variants
from memcirc.studies.pii.results import INTO, OUT_OF, PiiResults, SiteEffect, after_blocks
from memcirc.studies.pii.samples import Sample, known_to_both, of_corpus, of_file, pairs_of
from memcirc.studies.pii.training import train_all
from memcirc.studies.pii.two_models import LOGPROB, TwoModels
from memcirc.studies.stages import joined_tables, made_once, write_results, write_table
from memcirc.work.progress import say

RESTORED_SHARE = 0.9
MOST_SITES, PAIRED_SITES = 8, 5
SUPPRESSION, OTHER_CONTROL = "control into target", "target into misaligned control"


def run_pii(run_dir: Path, config: PiiConfig, force: bool, progress: bool) -> Path:
    """Run the study in a run directory and return the page's path."""
    models, misaligned = _models(run_dir, config, force, progress)
    keep = run_dir / "pii" / "sweeps"
    if force:
        shutil.rmtree(keep, ignore_errors=True)
    two = replace(models, keep=keep)
    target, control = two.target, two.control
    check_models(control, target)
    with torch.no_grad():
        results = study(two, misaligned, config.tokens, config.every_head)
    if results.alignment.warning:  # that of the control of another initialisation is meant, and stands on the page
        print(f"memcirc: warning: {results.alignment.warning}", file=sys.stderr)
    write_table(run_dir / "pii" / "patches.parquet", joined_tables(results.sweeps))
    statement = {**asdict(config), "target": target.name, "control": control.name, "dtype": target.dtype_name}
    write_results(run_dir / "pii" / "results.json", summary(results) | {"statement": statement})
    return write_pii_page(run_dir / "report", results, statement)


def _models(run_dir: Path, config: PiiConfig, force: bool, progress: bool) -> tuple[TwoModels, Model | None]:
    """Both models with their samples, and a control of another initialisation, if there is one."""
    if config.own_models:
        target, control = (load_model(name, device=config.device) for name in (config.target, config.control))
        return TwoModels(target, control, of_file(Path(config.samples), target), progress), None
    corpus, folder = make_corpus(config.seed), run_dir / "models"
    settings = {"seed": config.seed, "misaligned": config.misaligned}
    made_once(folder, settings, force, lambda: train_all(corpus, config.seed, config.misaligned, folder, progress))
    target, control = (load_model(str(folder / name), device=config.device) for name in ("target", "control"))
    other = load_model(str(folder / "misaligned"), device=config.device) if config.misaligned else None
    return TwoModels(target, control, of_corpus(corpus, target), progress, known_to_both(corpus, target)), other


def study(two: TwoModels, misaligned: Model | None, n_tokens: int, every_head: bool) -> PiiResults:
    """The results of every measurement between the two models.

    Args:
        misaligned: a control of another initialisation, if there is one.
        n_tokens: tokens that are shown of what is generated freely.
        every_head: single heads of all layers (:func:`memcirc.studies.pii.effects.head_sites`).
    """
    injected = [s for s in two.samples if s.injected]
    analysed = recited_by_the_target_alone(two, injected)
    comparison, question = two.answered(analysed)
    sweeps = _sweeps(two, injected, analysed, misaligned)
    into, rows = sweeps[INTO], [i for i, s in enumerate(injected) if s in analysed]
    effects = {
        INTO: site_effects(two, into, injected, analysed),
        OUT_OF: site_effects(two, sweeps[SUPPRESSION], analysed, analysed),
    }
    other = sweeps.get(OTHER_CONTROL)
    start = time.perf_counter()
    single = head_sites(effects[INTO], two.control.weights.n_heads, every_head)
    heads = head_effects(two, analysed, single)
    say(f"heads: {len(single)} places of {len(analysed)} samples in {time.perf_counter() - start:.1f} s")
    say("the smallest set of components that restores the answer")
    restored, goal, pairs = _sets(two, analysed, effects[INTO])
    patterns, tokens = attention_patterns(two, analysed[0], heads)
    say("paths, free generation")
    paths = PathPatching(comparison, question)
    nodes = strongest_nodes(paths, effects[INTO])
    matrix = path_matrix(paths, nodes)
    written, agreement = generations(two, analysed, restored, n_tokens)
    say("circuits of the injected records, and the target without them")
    circuits = injected_circuits(two, injected, analysed)
    say("recall, direct effects, passages, changed prompts")
    return PiiResults(
        samples=two.samples,
        analysed=analysed,
        recall=recall(two),
        alignment=align(comparison, question),
        sweeps=sweeps,
        effects=effects,
        token_effects=token_effects(into, rows),
        ends={
            name: float(ends[LOGPROB][rows].mean()) for name, ends in (("control", into.base), ("target", into.source))
        },
        heads=heads,
        patterns=patterns,
        pattern_tokens=tokens,
        direct={name: direct_parts(model, analysed) for name, model in two.by_name.items()},
        paths=named_paths(paths),
        path_matrix=matrix,
        path_nodes=nodes,
        restored=restored,
        restored_goal=goal,
        pairs=pairs,
        copies=effects_by_copies(into, injected),
        separation=separation(two, analysed),
        variants=variants(two, injected),
        generations=written,
        agreement=agreement,
        circuits=circuits,
        misaligned=None if misaligned is None else align(*two.answered(analysed, misaligned)),
        misaligned_effects=[] if other is None else site_effects(two, other, analysed, analysed),
    )


def recited_by_the_target_alone(two: TwoModels, injected: Sequence[Sample]) -> list[Sample]:
    """The passages that are analysed; ValueError where there is none."""
    (recited, _), (known, _) = (two.recites(model, injected) for model in (two.target, two.control))
    analysed = [s for s, r, k in zip(injected, recited, known, strict=True) if r and not k]
    if not analysed:
        raise ValueError(
            f"of {len(injected)} samples the target recites {int(recited.sum())} and the control "
            f"{int(known.sum())}: there is none that the target alone recites, so nothing to compare"
        )
    return analysed


def _sweeps(
    two: TwoModels, injected: Sequence[Sample], analysed: Sequence[Sample], misaligned: Model | None
) -> dict[str, Sweep]:
    """Every distinct site, in every direction; before it how long that may take."""
    patches = [Patch((where,)) for where in two.distinct_sites]
    planned = {INTO: (injected, None), SUPPRESSION: (analysed, two.target)}
    if misaligned is not None:
        planned[OTHER_CONTROL] = (analysed, misaligned)
    about = sum(len(patches) * seconds_of(two.control, pairs_of(samples)) for samples, _ in planned.values())
    say(
        f"{len(patches)} places, {len(planned)} times, on up to {len(injected)} samples: about {in_minutes(about)} "
        f"before heads, sets, paths and circuits{less_kept(two.keep)}"
    )
    sweeps = {}
    for name, (samples, base) in planned.items():
        start = time.perf_counter()
        sweeps[name] = two.sweep(patches, samples, base, tokens=name == INTO)
        say(f"{name}: {len(patches)} places of {len(samples)} samples in {time.perf_counter() - start:.1f} s")
    return sweeps


def _sets(
    two: TwoModels, analysed: Sequence[Sample], effects: Sequence[SiteEffect]
) -> tuple[Restored, float, list[PairEffect]]:
    """The smallest set of components that restores nine tenths of what the last residual does, that goal, and whether
    pairs of the strongest add up."""

    def gain(patches: Sequence[Patch]) -> np.ndarray:
        return two.gain(patches, analysed)

    components = [where for where in two.distinct_sites if where.kind == "embed" or where.about.branch]
    goal = RESTORED_SHARE * after_blocks(effects)[-1].effect
    alone = {where: effect_of(effects, where) for where in components}
    strongest = sorted(components, key=lambda where: -alone[where])[:PAIRED_SITES]
    restored = smallest_restoring(components, [*alone.values()], gain, goal, MOST_SITES)
    return restored, goal, additivity(strongest, [alone[where] for where in strongest], gain)


def summary(results: PiiResults) -> dict[str, Any]:
    """The content of the JSON file: everything but the long tables."""
    left_out = ("samples", "analysed", "sweeps", "patterns", "separation")
    content = {name: getattr(results, name) for name in results.__dataclass_fields__ if name not in left_out}
    content["analysed"] = [s.label for s in results.analysed]
    if results.separation is not None:
        content["separation"] = replace(results.separation, pca={})
    return content
