"""How large is the minimal circuit by the study's losses and metrics, in every mode, ablation and direction?"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from tqdm import tqdm

from memcirc.attribution.attribute import attribute
from memcirc.attribution.scores import EdgeScores, Ranking
from memcirc.attribution.settings import AttributionOptions
from memcirc.circuits.discover import attribution_options
from memcirc.circuits.runner import CircuitRunner, circuit_runner
from memcirc.circuits.search import smallest_size
from memcirc.engine.memory import Memory
from memcirc.interventions import MODES, VERIFIED, RunSettings
from memcirc.options import chosen
from memcirc.pairs.record import Pairs, joined
from memcirc.run.pipeline import Pipeline
from memcirc.study import TwoFunctions
from memcirc.verification.study_sizes import coarse_search

SEARCH_METRICS = ("logit_diff", "neg_logit_diff", "wrong_answer_logit", "answer_logit", "correct")
STUDY_LOSSES = ("logit_diff", "logit")


def size_rows(pipeline: Pipeline, task: str) -> list[dict[str, Any]]:
    """A row for each mode, direction, loss and search metric under resample, and for each other ablation. The study's
    mode is ``edge``."""
    ways = [(loss, metric, "resample") for loss in STUDY_LOSSES for metric in SEARCH_METRICS]
    ways += [("logit_diff", "logit_diff", ablation) for ablation in VERIFIED if ablation != "resample"]
    scores = {loss: attributed(pipeline, task, loss) for loss in STUDY_LOSSES}
    runners = Runners(pipeline, task)
    rows = []
    for mode in MODES:
        for loss, metric, ablation in tqdm(ways, desc=f"sizes, {mode}", disable=None, leave=False):
            for reverse in (False, True):
                rows.append(_sized(runners, scores[loss], loss, metric, RunSettings(mode, ablation, reverse)))
    return rows


def attributed(pipeline: Pipeline, task: str, loss: str) -> EdgeScores:
    train, config = pipeline.splits(task)[0], pipeline.config.discover
    objective = replace(TwoFunctions.of(config.objective), loss_function=loss).objective
    options = {**attribution_options(config), "objective": objective}
    return attribute(pipeline.model, train, config.method, **chosen(AttributionOptions, options))


class Runners:
    """The runners of a task's validation and test pairs, each prepared once."""

    def __init__(self, pipeline: Pipeline, task: str) -> None:
        self.pipeline, self.splits = pipeline, pipeline.splits(task)
        config = pipeline.config.discover
        self.target, self.rule = config.target, (config.by, config.selection)
        self._memory = Memory(pipeline.model.device)
        self._made: dict[tuple[int, RunSettings], CircuitRunner] = {}

    def __call__(self, part: int, way: RunSettings) -> CircuitRunner:
        if (part, way) not in self._made:
            pairs, reference = self.splits[part], joined(*self.splits)
            self._made[part, way] = runner_of(self.pipeline, pairs, reference, way, self._memory)
        return self._made[part, way]


def _sized(runners: Runners, scores: EdgeScores, loss: str, metric: str, way: RunSettings) -> dict[str, Any]:
    """One search: on validation as ours and as the study's, the circuit found measured on test."""
    runner, test, ranking = runners(1, way), runners(2, way), Ranking(scores, *runners.rule)
    row: dict[str, Any] = {"loss": loss, "metric": metric}
    row |= {key: getattr(way, key) for key in ("mode", "ablation", "direction", "base")}

    def faithfulness(sizes: Sequence[int]) -> list[float]:
        return runner.faithfulness(ranking.masks(sizes), metric).tolist()

    try:
        found = smallest_size(faithfulness, scores.graph.n_edges, runners.target)
        known = dict(found.evaluated)
        coarse = coarse_search(
            lambda n: (known[n] if n in known else faithfulness([n])[0]) >= runners.target, scores.graph.n_edges
        )
        on_test = float(test.faithfulness(ranking.masks([found.n_edges]), metric)[0])
    except ValueError as error:
        return row | {"edges": None, "note": str(error)}
    return row | {
        "edges": found.n_edges,
        "share": found.n_edges / scores.graph.n_edges,
        "lower_bound": found.lower_bound,
        "faithfulness": found.faithfulness,
        "on_test": on_test,
        "edges_by_coarse_search": coarse,
        "note": "" if found.target_met else f"no size reaches {runners.target}",
    }


def runner_of(
    pipeline: Pipeline, pairs: Pairs, reference: Pairs, way: RunSettings, memory: Memory | None = None
) -> CircuitRunner:
    """Runs circuits of a run's model as its verification does.

    Args:
        reference: pairs that mean ablations average over.
    """
    return circuit_runner(
        pipeline.model,
        pairs,
        **asdict(way),
        reference=reference,
        engine=pipeline.config.verify.engine,
        memory=memory,
    )
