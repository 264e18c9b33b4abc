"""The study's verification tables as presets on a finished run: ``memcirc verify --preset NAME RUN``.

``*_random``: the task's circuit against random circuits of its size, in every combination of mode, direction and
ablation. ``*_cross``: the circuit on the other task's test pairs, beside its own. ``*_cross_subset``: circuits found in
one subset on the test pairs of every subset. ``ablations_*``: the circuit under every ablation. Each prints its table
and writes it to ``RUN/presets/NAME.json``.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memcirc.artifacts import write_json
from memcirc.circuits.runner import circuit_runner
from memcirc.interventions import MODES
from memcirc.pairs.record import Pairs, joined, load_pairs
from memcirc.report.tables import text_table
from memcirc.run.config import resolve, stored_config
from memcirc.run.pipeline import Pipeline
from memcirc.run.transfer import usable_subsets
from memcirc.verification.faithfulness import measure
from memcirc.verification.random_circuits import compare_with_random
from memcirc.work.locks import at_work

ABLATIONS = ("resample", "zero", "mean-clean", "mean-corrupt")

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
    make, task = PRESETS[name]
    for needed in {task, "branch", "memorization"} if make is _cross else {task}:
        if needed not in pipeline.config.model.tasks:
            raise ValueError(
                f"preset {name!r} needs task {needed!r}; this run has {', '.join(pipeline.config.model.tasks)}"
            )
    with at_work(run_dir):
        rows = make(pipeline, task)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    out = run_dir / "presets" / f"{name}.json"
    write_json(out, {"preset": name, **pipeline.model.statement(), "metric": _metric(pipeline), "rows": rows})
    print(text_table(rows, columns))
    print(f"written to {out}", file=sys.stderr)


def _metric(pipeline: Pipeline) -> str:
    return pipeline.config.verify.optimize_metric


def _random(pipeline: Pipeline, task: str) -> Rows:
    test, reference = _test(pipeline, task)
    settings = pipeline.config.verify
    rows: Rows = []
    for mode, ablation, reverse in _combinations():
        runner = _runner(pipeline, test, reference, mode, ablation, reverse)
        found = measure(runner, pipeline.circuit(task, mode), _metric(pipeline))
        row: dict[str, Any] = {"mode": mode, "ablation": ablation, "direction": found.direction, "edges": found.n_edges}
        row["faithfulness"] = found.faithfulness
        if found.faithfulness is not None:
            compared = compare_with_random(
                runner, pipeline.circuit(task, mode), found.metric, settings.random_circuits, settings.seed
            ).row()
            keys = ("n_circuits", "mean", "std", "q95", "highest", "disconnected", "quantile", "p_value")
            row |= {f"random_{key}" if key in ("mean", "std", "q95", "highest") else key: compared[key] for key in keys}
        rows.append(row | {"note": found.note})
    return rows


def _ablations(pipeline: Pipeline, task: str) -> Rows:
    test, reference = _test(pipeline, task)
    return [
        _row(pipeline, task, task, test, reference, mode, ablation, reverse)
        for mode, ablation, reverse in _combinations()
    ]


def _cross(pipeline: Pipeline, task: str) -> Rows:
    rows: Rows = []
    for other in (task, *(name for name in ("branch", "memorization") if name != task)):
        test, reference = _test(pipeline, other)
        rows += [
            _row(pipeline, task, other, test, reference, mode, "resample", reverse)
            for mode, ablation, reverse in _combinations()
            if ablation == "resample"
        ]
    return rows


def _cross_subset(pipeline: Pipeline, task: str) -> Rows:
    names = [f"{task}@{name}" for name in usable_subsets(load_pairs(pipeline.pairs(task)))]
    rows: Rows = []
    for found_in in names:
        for measured_on in names:
            test, reference = _test(pipeline, measured_on)
            rows += [_row(pipeline, found_in, measured_on, test, reference, mode, "resample", False) for mode in MODES]
    return rows


def _test(pipeline: Pipeline, task: str) -> tuple[Pairs, Pairs]:
    """A task's test pairs, and all of its pairs, which means are taken over."""
    splits = pipeline.splits(task)
    return splits[-1], joined(*splits)


def _combinations() -> list[tuple[str, str, bool]]:
    return [(mode, ablation, reverse) for mode in MODES for ablation in ABLATIONS for reverse in (False, True)]


def _runner(pipeline: Pipeline, pairs: Pairs, reference: Pairs, mode: str, ablation: str, reverse: bool) -> Any:
    engine = pipeline.config.verify.engine
    return circuit_runner(
        pipeline.model, pairs, mode=mode, ablation=ablation, reverse=reverse, reference=reference, engine=engine
    )


def _row(
    pipeline: Pipeline,
    found_in: str,
    measured_on: str,
    test: Pairs,
    reference: Pairs,
    mode: str,
    ablation: str,
    reverse: bool,
) -> dict[str, Any]:
    runner = _runner(pipeline, test, reference, mode, ablation, reverse)
    found = measure(runner, pipeline.circuit(found_in, mode), _metric(pipeline))
    return {
        "circuit": found_in,
        "pairs": measured_on,
        "mode": mode,
        "ablation": ablation,
        "direction": found.direction,
        "edges": found.n_edges,
        "n_pairs": found.n_pairs,
        "faithfulness": found.faithfulness,
        "nothing": found.nothing,
        "everything": found.everything,
        "correct": found.correct,
        "correct_everything": found.correct_everything,
        "note": found.note,
    }


PRESETS: dict[str, tuple[Callable[[Pipeline, str], Rows], str]] = {
    "mem_decision_random": (_random, "memorization"),
    "mem_decision_cross": (_cross, "memorization"),
    "mem_decision_cross_subset": (_cross_subset, "memorization"),
    "branch_random": (_random, "branch"),
    "branch_cross": (_cross, "branch"),
    "branch_cross_subset": (_cross_subset, "branch"),
    "ablations_mem_decision": (_ablations, "memorization"),
    "ablations_branch": (_ablations, "branch"),
}
