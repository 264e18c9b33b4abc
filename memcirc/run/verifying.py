"""Verify a task of a run: its circuits on held-out pairs, from the artifacts that the run holds."""

import json
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path

import pyarrow as pa

from memcirc.attribution.scores import EdgeScores, load_scores
from memcirc.models import Model
from memcirc.pairs.file import load_pairs
from memcirc.pairs.record import joined
from memcirc.pairs.scored import SCORE_COLUMN
from memcirc.run.config import RunConfig
from memcirc.run.reading import Run
from memcirc.run.stages import Units
from memcirc.verification.passages import Choice, passages_from
from memcirc.verification.result import Verification
from memcirc.verification.stage import Material, WorkList, verify_circuits, worker

JSON = "json"


def given_files(config: RunConfig) -> list[Path]:
    """The files that a verification is asked to use in place of the run's own.

    Raises:
        FileNotFoundError: one is not there.
        ValueError: a ranking without a size.
    """
    settings = config.verify
    given = [Path(config.located(path)) for path in (settings.scores_path, settings.pairs_path) if path]
    missing = [path for path in given if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"no file at {missing[0]}")
    if settings.scores_path and not settings.n_edges:
        raise ValueError("scores_path without n_edges: say how many edges of that ranking to verify")
    return given


def verified(run: Run, task: str, model: Model) -> Verification:
    """The circuits on held-out pairs, as configured: the run's own, or given scores, a given size, given pairs."""
    material = material_of(run, task, model)
    return verify_circuits(work_list(run, task), model, material)


def verification_units(run: Run, task: str, model: Callable[[], Model]) -> Units:
    """The same in units of a job each; the model is asked for by the first of them."""
    work = work_list(run, task)

    @cache
    def do() -> Callable[[int], Verification]:
        return worker(work, model(), material_of(run, task, model()))

    return Units(len(work.jobs), lambda unit: pa.table({JSON: [json.dumps(do()(unit).to_json())]}))


def merged(run: Run, task: str, tables: Iterable[pa.Table]) -> Verification:
    """What the units have given, put together as :func:`verified` does."""
    return work_list(run, task).whole(Verification.from_json(json.loads(table[JSON][0].as_py())) for table in tables)


def work_list(run: Run, task: str) -> WorkList:
    """The jobs of a task's circuits, as configured."""
    config = run.config.of_task(task)
    settings, rule = config.verify, (config.discover.by, config.discover.selection)
    circuits = {
        mode: scores_of(run, task).first(settings.n_edges, *rule) if settings.n_edges else run.circuit(task, mode)
        for mode in settings.modes
    }
    return WorkList(circuits, settings)


def scores_of(run: Run, task: str) -> EdgeScores:
    path = run.config.located(run.config.verify.scores_path)
    return load_scores(path) if path else run.edge_scores(task)


def material_of(run: Run, task: str, model: Model) -> Material:
    """What a task's circuits are verified with; passages where the run has scores."""
    config, passages = run.config.of_task(task), None
    settings = config.verify
    *others, pairs = run.splits(task)
    if settings.pairs_path:
        pairs = load_pairs(config.located(settings.pairs_path), model, config.prepare.bos)
    if run.has("score"):
        choice = Choice(
            config.prepare.prompt_tokens,
            {pair.doc_id for pair in pairs},
            settings.n_passages,
            settings.seed,
            SCORE_COLUMN[config.pairs.metric],
            config.pairs.threshold,
            config.pairs.twin_threshold,
        )
        passages = cache(partial(passages_from, run.artifact("score", "scores.parquet"), choice))
    reference = joined(*others, pairs)
    return Material(pairs[: settings.n_pairs], scores_of(run, task), reference, others[0], passages)
