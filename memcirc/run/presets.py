"""The study's verification tables as presets on a finished run: ``memcirc verify --preset NAME RUN``.

``*_random``: the task's circuit against random circuits of its size, in every combination of mode, direction and
ablation. ``*_cross``: the circuit on the other task's test pairs, beside its own. ``*_cross_subset``: circuits found in
one subset on the test pairs of every subset (both by :mod:`memcirc.verification.transfer`, without documents that the
circuit was found on). ``ablations_*``: the circuit under every ablation. Each prints its table and writes it to
``RUN/presets/NAME.json``.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from memcirc.artifacts import write_json
from memcirc.attribution.attribute import attribute
from memcirc.attribution.scores import EdgeScores
from memcirc.circuits.minimal import prefix_masks
from memcirc.circuits.runner import CircuitRunner, circuit_runner
from memcirc.circuits.search import smallest_size
from memcirc.engine.memory import Memory
from memcirc.interventions import MODES, VERIFIED
from memcirc.pairs.record import Pairs, joined, load_pairs
from memcirc.report.tables import text_table
from memcirc.run.config import resolve, stored_config
from memcirc.run.ground_truth import ground_truth_rows
from memcirc.run.pipeline import Pipeline
from memcirc.run.transfer import run_transfer, usable_subsets
from memcirc.study import objective
from memcirc.verification.faithfulness import Measurement, measure
from memcirc.verification.random_circuits import KINDS, compare_with_random
from memcirc.verification.study_sizes import PUBLISHED_SIZES, coarse_search, open_interval
from memcirc.work.locks import at_work

Rows = list[dict[str, Any]]


def run_preset(name: str, run_dir: Path) -> None:
    """Compute one preset's table, print it, write it as JSON.

    Raises:
        ValueError: no such preset, or the run lacks a task that it needs.
        FileNotFoundError: no run in that directory.
    """
    if name not in PRESETS:
        raise ValueError(f"preset {name!r} is not known; accepted: {', '.join(PRESETS)}")
    stored = stored_config(run_dir)
    if not stored:
        raise FileNotFoundError(f"no finished run in {run_dir}; `memcirc demo` makes one in runs/demo")
    pipeline = Pipeline(run_dir, resolve(stored, {}), terse=True)
    preset = PRESETS[name]
    task = preset.task
    for needed in (*filter(None, [task]), *preset.needs):
        if needed not in pipeline.config.model.tasks:
            raise ValueError(
                f"preset {name!r} needs task {needed!r}; this run has {', '.join(pipeline.config.model.tasks)}"
            )
    with at_work(run_dir):
        rows = preset.make(pipeline, task)
    out = run_dir / "presets" / f"{name}.json"
    card = _card(pipeline, task) if task else {}
    content: dict[str, Any] = {"preset": name, **pipeline.model.statement(), "metric": _metric(pipeline)}
    content["rows"] = [{**card, **row} for row in rows]
    constant = ("model", "revision", "dtype", "bos", "split", "data", "selection", "averaging", "seed")
    shown = [key for key in dict.fromkeys(key for row in rows for key in row) if task or key not in constant]
    print(text_table(rows, shown))
    if preset.published:
        content["published"] = [asdict(open_interval(size)) for size in PUBLISHED_SIZES]
        print("\nThe study's published sizes, and the true minima that its search would have reported as them")
        print(text_table(content["published"], list(content["published"][0])))
    write_json(out, content)
    print(f"written to {out}", file=sys.stderr)


def _card(pipeline: Pipeline, task: str) -> dict[str, Any]:
    """What every number of a table carries, but for what its own row says."""
    config, test = pipeline.config, pipeline.splits(task)[-1]
    selection = f"{config.discover.selection} by {config.discover.by}"
    return {
        **{key: pipeline.model.statement()[key] for key in ("model", "revision", "dtype")},
        "bos": test.header.get("bos"),
        "split": test.header.get("split"),
        "data": f"{len(test)} pairs ({test.fingerprint})",
        "selection": selection,
        "averaging": "ratio of means over pairs",
        "seed": config.verify.seed,
    }


def _metric(pipeline: Pipeline) -> str:
    return pipeline.config.verify.optimize_metric


def _random(pipeline: Pipeline, task: str) -> Rows:
    """Every kind under resample, uniform ones under the other ablations."""
    test, reference = _test(pipeline, task)
    settings, scores = pipeline.config.verify, pipeline.edge_scores(task)
    rows: Rows = []
    for mode, ablation, reverse in tqdm(_combinations(), desc="random circuits", disable=None, leave=False):
        runner = _runner(pipeline, test, reference, mode, ablation, reverse)
        circuit = pipeline.circuit(task, mode)
        found = measure(runner, circuit, _metric(pipeline), settings.seed, settings.resamples)
        for kind in KINDS if ablation == "resample" else KINDS[:1]:
            row: dict[str, Any] = {
                "mode": mode,
                "ablation": ablation,
                "direction": found.direction,
                "base": found.base,
                "kind": kind,
            }
            row |= {"edges": found.n_edges, "faithfulness": found.faithfulness}
            if found.faithfulness is not None:
                drawn = compare_with_random(
                    runner, circuit, found.metric, settings.random_circuits, settings.seed, kind, scores
                ).to_json()
                row |= {f"random_{key}": drawn[key] for key in ("mean", "std", "q95", "highest")}
                row |= {key: drawn[key] for key in ("n_circuits", "disconnected", "overlap", "quantile", "p_value")}
            rows.append(row | {"note": found.note})
    return rows


def _ablations(pipeline: Pipeline, task: str) -> Rows:
    test, reference = _test(pipeline, task)
    settings, rows = pipeline.config.verify, []
    for mode, ablation, reverse in _combinations():
        runner = _runner(pipeline, test, reference, mode, ablation, reverse)
        found = measure(runner, pipeline.circuit(task, mode), _metric(pipeline), settings.seed, settings.resamples)
        rows.append({"circuit": task, "pairs": task, **_numbers(found)})
    return rows


def _cross(pipeline: Pipeline, task: str) -> Rows:
    return _transferred(pipeline, [task], (task, *(name for name in ("branch", "memorization") if name != task)))


def _cross_subset(pipeline: Pipeline, task: str) -> Rows:
    names = [f"{task}@{name}" for name in usable_subsets(load_pairs(pipeline.pairs(task)))]
    return _transferred(pipeline, names, names)


def _transferred(pipeline: Pipeline, names: Sequence[str], on: Sequence[str]) -> Rows:
    """Circuits of some tasks on test pairs of others; what is refused is said on stderr."""
    found = run_transfer(pipeline, names, {name: pipeline.splits(name)[-1] for name in on})
    for line in found.refused:
        print(f"not measured: {line}", file=sys.stderr)
    return [
        {
            "circuit": cell.circuit,
            "pairs": cell.data,
            "split": cell.split,
            "data": f"{cell.measured.n_pairs} pairs ({cell.data_fingerprint})",
            "n_seen": cell.n_seen,
            **_numbers(cell.measured),
        }
        for cell in found.cells
    ]


SEARCH_METRICS = ("logit_diff", "neg_logit_diff", "wrong_answer_logit", "answer_logit", "correct")
STUDY_LOSSES = ("logit_diff", "logit")


def _sizes(pipeline: Pipeline, task: str) -> Rows:
    """The study's mode is ``edge``; both losses with every search metric, then the other ablations."""
    ways = [(loss, metric, "resample") for loss in STUDY_LOSSES for metric in SEARCH_METRICS]
    ways += [("logit_diff", "logit_diff", ablation) for ablation in VERIFIED if ablation != "resample"]
    scores = {loss: _attributed(pipeline, task, loss) for loss in STUDY_LOSSES}
    runners = _Runners(pipeline, task)
    rows: Rows = []
    for mode in MODES:
        for loss, metric, ablation in tqdm(ways, desc=f"sizes, {mode}", disable=None, leave=False):
            for reverse in (False, True):
                rows.append(_sized(runners, scores[loss], loss, metric, (mode, ablation, reverse)))
    return rows


def _ground_truth(pipeline: Pipeline, task: str) -> Rows:
    return ground_truth_rows(pipeline.config.verify.seed)


def _attributed(pipeline: Pipeline, task: str, loss: str) -> EdgeScores:
    train, config = pipeline.splits(task)[0], pipeline.config.discover
    return attribute(
        pipeline.model,
        train,
        method=config.method,
        steps=config.ig,
        objective=objective(config.grad_function, loss),
        ablation=config.ablation,
        reverse=config.reverse_clean_corrupt,
        engine=config.engine,
    )


class _Runners:
    """The runners of a task's validation and test pairs, each prepared once."""

    def __init__(self, pipeline: Pipeline, task: str) -> None:
        self.pipeline, self.splits = pipeline, pipeline.splits(task)
        config = pipeline.config.discover
        self.target, self.rule = config.target_performance, (config.by, config.selection)
        self._memory = Memory(pipeline.model.device)
        self._made: dict[tuple[int, str, str, bool], CircuitRunner] = {}

    def __call__(self, part: int, mode: str, ablation: str, reverse: bool) -> CircuitRunner:
        key = (part, mode, ablation, reverse)
        if key not in self._made:
            pairs, reference = self.splits[part], joined(*self.splits)
            self._made[key] = _runner(self.pipeline, pairs, reference, mode, ablation, reverse, self._memory)
        return self._made[key]


def _sized(runners: _Runners, scores: EdgeScores, loss: str, metric: str, way: tuple[str, str, bool]) -> dict[str, Any]:
    """One search: on validation as ours and as the study's, the circuit found measured on test."""
    runner, test, order = runners(1, *way), runners(2, *way), scores.order(*runners.rule)
    mode, ablation, _ = way
    row: dict[str, Any] = {"loss": loss, "metric": metric, "mode": mode, "ablation": ablation}
    row |= {"direction": runner.settings.direction, "base": runner.settings.base}

    def faithfulness(sizes: Sequence[int]) -> list[float]:
        return runner.faithfulness(prefix_masks(order, sizes), metric).tolist()

    try:
        found = smallest_size(faithfulness, scores.graph.n_edges, runners.target)
        known = dict(found.evaluated)
        coarse = coarse_search(
            lambda n: (known[n] if n in known else faithfulness([n])[0]) >= runners.target, scores.graph.n_edges
        )
        on_test = float(test.faithfulness(prefix_masks(order, [found.n_edges]), metric)[0])
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


def _test(pipeline: Pipeline, task: str) -> tuple[Pairs, Pairs]:
    """A task's test pairs, and all of its pairs, which means are taken over."""
    splits = pipeline.splits(task)
    return splits[-1], joined(*splits)


def _combinations() -> list[tuple[str, str, bool]]:
    return [(mode, ablation, reverse) for mode in MODES for ablation in VERIFIED for reverse in (False, True)]


def _runner(
    pipeline: Pipeline,
    pairs: Pairs,
    reference: Pairs,
    mode: str,
    ablation: str,
    reverse: bool,
    memory: Memory | None = None,
) -> CircuitRunner:
    return circuit_runner(
        pipeline.model, pairs, mode=mode, ablation=ablation, reverse=reverse, reference=reference,
        engine=pipeline.config.verify.engine, memory=memory,
    )  # fmt: skip


def _numbers(found: Measurement) -> dict[str, Any]:
    return {
        "mode": found.mode,
        "ablation": found.ablation,
        "direction": found.direction,
        "base": found.base,
        "edges": found.n_edges,
        "n_pairs": found.n_pairs,
        "faithfulness": found.faithfulness,
        "nothing": found.nothing,
        "everything": found.everything,
        "correct": found.correct,
        "correct_everything": found.correct_everything,
        "note": found.note,
    }


@dataclass(frozen=True)
class Preset:
    """A table of the study: what makes its rows, of which task ("" for none), the further tasks that it needs, and
    whether the study's published sizes stand below it."""

    make: Callable[[Pipeline, str], Rows]
    task: str
    needs: tuple[str, ...] = ()
    published: bool = False


PRESETS = {
    "mem_decision_random": Preset(_random, "memorization"),
    "mem_decision_cross": Preset(_cross, "memorization", needs=("branch",)),
    "mem_decision_cross_subset": Preset(_cross_subset, "memorization"),
    "branch_random": Preset(_random, "branch"),
    "branch_cross": Preset(_cross, "branch", needs=("memorization",)),
    "branch_cross_subset": Preset(_cross_subset, "branch"),
    "ablations_mem_decision": Preset(_ablations, "memorization"),
    "ablations_branch": Preset(_ablations, "branch"),
    "mem_decision_sizes": Preset(_sizes, "memorization", published=True),
    "branch_sizes": Preset(_sizes, "branch", published=True),
    "ground_truth": Preset(_ground_truth, ""),
}
