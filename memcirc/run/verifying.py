"""Verify a task of a run: its circuits on held-out pairs, from the artifacts that the run holds."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from memcirc.attribution.scores import load_scores
from memcirc.models import Model
from memcirc.pairs.file import load_pairs
from memcirc.pairs.record import Pairs, joined
from memcirc.pairs.scored import SCORE_COLUMN
from memcirc.run.config import RunConfig
from memcirc.run.reading import Run
from memcirc.verification.passages import Choice, passages_from
from memcirc.verification.result import Verification
from memcirc.verification.stage import Material, verify_circuits


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
    config = run.config.of_task(task)
    settings = config.verify
    *others, pairs = run.splits(task)
    if settings.pairs_path:
        pairs = load_pairs(config.located(settings.pairs_path), model, config.prepare.bos)
    scores_path = config.located(settings.scores_path)
    scores = load_scores(scores_path) if scores_path else run.edge_scores(task)
    rule = config.discover.by, config.discover.selection
    circuits = {
        mode: scores.first(settings.n_edges, *rule) if settings.n_edges else run.circuit(task, mode)
        for mode in settings.modes
    }
    return verify_circuits(model, _material(run, others, pairs), scores, circuits, settings)


def _material(run: Run, others: Sequence[Pairs], pairs: Pairs) -> Material:
    """What a task's circuits are verified with; passages where the run has scores."""
    config, passages = run.config, None
    if run.has("score"):
        choice = Choice(
            config.prepare.prompt_tokens,
            {pair.doc_id for pair in pairs},
            config.verify.n_passages,
            config.verify.seed,
            SCORE_COLUMN[config.pairs.metric],
            config.pairs.threshold,
            config.pairs.twin_threshold,
        )
        passages = cache(partial(passages_from, run.artifact("score", "scores.parquet"), choice))
    return Material(pairs[: config.verify.n_pairs], joined(*others, pairs), others[0], passages)
