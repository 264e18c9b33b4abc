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
from memcirc.interventions import MODES, VERIFIED, RunSettings
from memcirc.pairs.file import load_pairs
from memcirc.pairs.record import Pairs, joined
from memcirc.report.tables import text_table
from memcirc.run.config import resolve, stored_config
from memcirc.run.ground_truth import ground_truth_rows
from memcirc.run.pipeline import Pipeline
from memcirc.run.sizes import runner_of, size_rows
from memcirc.run.transfer import run_transfer, usable_subsets
from memcirc.verification.drawing import KINDS
from memcirc.verification.faithfulness import Measurement, measure
from memcirc.verification.random_circuits import Draw, compare_with_random
from memcirc.verification.study_sizes import PUBLISHED_SIZES, open_interval
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
    content: dict[str, Any] = {"preset": name, **pipeline.model.statement(), "metric": pipeline.config.verify.metric}
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
    """The evaluation card of a task: the columns that all rows of its table have in common."""
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


def _random(pipeline: Pipeline, task: str) -> Rows:
    """A row for each way to run the circuit and kind of random circuits; under other ablations than resample uniform
    ones."""
    test, reference = _test(pipeline, task)
    settings, scores = pipeline.config.verify, pipeline.edge_scores(task)
    rows: Rows = []
    for way in tqdm(_combinations(), desc="random circuits", disable=None, leave=False):
        runner = runner_of(pipeline, test, reference, way)
        circuit = pipeline.circuit(task, way.mode)
        found = measure(runner, circuit, settings.metric, settings.seed, settings.n_resamples)
        for kind in KINDS if way.ablated.other_prompt else KINDS[:1]:
            row = {key: getattr(way, key) for key in ("mode", "ablation", "direction", "base")}
            row |= {"kind": kind, "edges": found.n_edges, "faithfulness": found.faithfulness}
            if found.faithfulness is not None:
                draw = Draw(kind, settings.n_random, settings.seed)
                drawn = compare_with_random(runner, circuit, found.metric, draw, scores).to_json()
                row |= {f"random_{key}": drawn[key] for key in ("mean", "std", "q95", "highest")}
                row |= {key: drawn[key] for key in ("n_circuits", "disconnected", "overlap", "quantile", "p_value")}
            rows.append(row | {"note": found.note})
    return rows


def _ablations(pipeline: Pipeline, task: str) -> Rows:
    test, reference = _test(pipeline, task)
    settings, rows = pipeline.config.verify, []
    for way in _combinations():
        runner = runner_of(pipeline, test, reference, way)
        circuit = pipeline.circuit(task, way.mode)
        found = measure(runner, circuit, settings.metric, settings.seed, settings.n_resamples)
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


def _ground_truth(pipeline: Pipeline, task: str) -> Rows:
    return ground_truth_rows(pipeline.config.verify.seed)


def _test(pipeline: Pipeline, task: str) -> tuple[Pairs, Pairs]:
    """A task's test pairs, and all of its pairs, over which mean ablations average."""
    splits = pipeline.splits(task)
    return splits[-1], joined(*splits)


def _combinations() -> list[RunSettings]:
    return [
        RunSettings(mode, ablation, reverse) for mode in MODES for ablation in VERIFIED for reverse in (False, True)
    ]


def _numbers(found: Measurement) -> dict[str, Any]:
    way = {key: getattr(found, key) for key in ("mode", "ablation", "direction", "base")}
    shown = ("n_pairs", "faithfulness", "nothing", "everything", "correct", "correct_everything", "note")
    return {**way, "edges": found.n_edges, **{key: getattr(found, key) for key in shown}}


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
    "mem_decision_sizes": Preset(size_rows, "memorization", published=True),
    "branch_sizes": Preset(size_rows, "branch", published=True),
    "ground_truth": Preset(_ground_truth, ""),
}
