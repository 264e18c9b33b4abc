"""Measure faithfulness numbers of a finished run again: of circuits on test pairs, of prefixes along curves, of
circuits on other data, and of the sizes that discovery looked at on the validation pairs.

**Tolerance.** Two ways to compute the same logits differ by rounding, which moves the mean of a metric over pairs by at
most its resolution r (:meth:`memcirc.circuits.runner.CircuitRunner.resolution`). A faithfulness f = (v - n) / (e - n)
holds when it lies within

    2 r (1 + |f|) / |e - n|

of the number measured again: v, n and e may each be off by r on either side. A metric that rounding moves by steps
alone (``correct``, a rank) may change on one pair.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch

from memcirc.artifacts import DONE, Marker, read_json, slug
from memcirc.attribution.scores import Ranking
from memcirc.circuit import Circuit
from memcirc.circuits.runner import CircuitRunner, circuit_runner
from memcirc.engine.memory import Memory
from memcirc.interventions import MODES
from memcirc.models import Model
from memcirc.options import build
from memcirc.origin import check_origin
from memcirc.pairs.record import Pairs, joined
from memcirc.run.loading import run_model
from memcirc.run.reading import Run, marker_in_our_words
from memcirc.run.verifying import material_of, scores_of, work_list
from memcirc.verification.config import VerifyConfig
from memcirc.verification.faithfulness import Measurement
from memcirc.verification.result import Verification
from memcirc.verification.transfer import Cell, unseen

Runners = Callable[[Model, Memory], CircuitRunner]


@dataclass(frozen=True, eq=False)
class Number:
    """A faithfulness that the run states (None: that there is none), and what measures it again: a runner, the same for
    all numbers of a key, and a circuit."""

    place: str
    stated: float | None
    metric: str
    key: Hashable
    runner: Runners
    circuit: Circuit


def numbers_of(run: Run) -> list[Number]:
    """All of them, in the order of the run's files."""
    return [*_of_discovery(run), *_of_verifications(run), *_of_transfers(run)]


def measured_again(run: Run, numbers: Sequence[Number]) -> tuple[tuple[str, ...], float]:
    """A line for each number that does not come out as stated, and how much of the tolerance the others have used at
    most."""
    if not numbers:
        return (), 0.0
    model, findings, furthest = run_model(run.config), [], 0.0
    memory, runners = Memory(model.device), dict[Hashable, CircuitRunner]()
    for number in numbers:
        if number.key not in runners:
            runners[number.key] = number.runner(model, memory)
        now, tolerance = _measured(runners[number.key], number)
        if now is None or number.stated is None:
            used = 0.0 if now is number.stated else torch.inf
        else:
            used = abs(now - number.stated) / tolerance
        if used > 1:
            findings.append(f"{number.place}: states {_told(number.stated)}, measured again {_told(now)} "
                            f"(tolerance {tolerance:.2g})")  # fmt: skip
        else:
            furthest = max(furthest, used)
    return tuple(findings), furthest


def _measured(runner: CircuitRunner, number: Number) -> tuple[float | None, float]:
    """The faithfulness now, None where the ends coincide, and its tolerance."""
    ends = runner.ends(number.metric)
    rounding = ends.resolution or 1 / len(runner.pairs)
    try:
        now = float(runner.faithfulness([number.circuit], number.metric)[0])
    except ValueError:
        return None, 0.0
    return now, 2 * rounding * (1 + abs(now)) / abs(ends.everything - ends.nothing)


def _told(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def runs_of_verifications(run: Run) -> Iterator[tuple[str, str, Run, Verification]]:
    """The finished verifications: the stage's name, the task, the run as that stage was configured, what it found."""
    for task in run.tasks:
        for marker in sorted((run.path / task).glob(f"verify*/{DONE}")):
            stage = f"{task}/{marker.parent.name}"
            was = marker_in_our_words(stage, Marker.read(marker).config)
            own = build(VerifyConfig, {f.name: was[f.name] for f in fields(VerifyConfig) if f.name in was})
            found = Verification.from_json(read_json(run.artifact(stage, "verification.json")))
            yield stage, task, Run(run.path, replace(run.config, verify=own)), found


def cells_of(run: Run) -> Iterator[tuple[str, Cell]]:
    """The cells of finished transfers, with the names of their stages."""
    for stage in ("transfer", "transfer-full"):
        if run.has(stage):
            for row in read_json(run.artifact(stage, "transfer.json"))["cells"]:
                yield stage, Cell.from_json(row)


def pairs_of_cell(run: Run, cell: Cell) -> Pairs:
    """The test pairs that a cell is about, without those of documents on which its circuit was found."""
    name, _, subset = cell.data.partition(": ")
    pairs = run.splits(name)[2]
    if subset:
        pairs = replace(pairs, items=tuple(pair for pair in pairs if slug(pair.subset) == subset))
    train, validation, _ = run.splits(cell.circuit)
    return unseen(pairs, joined(train, validation))


def _of_discovery(run: Run) -> Iterator[Number]:
    """The sizes that were looked at on validation; where several ablations were asked for at once, none."""
    for task in run.tasks:
        config = run.config.of_task(task).discover
        if not run.has(f"{task}/discover") or config.further_ablations:
            continue
        train, validation, _ = run.splits(task)
        for mode in MODES:
            circuit, scores = run.circuit(task, mode), run.edge_scores(task)
            ranking, origin = Ranking.of(scores, circuit), circuit.origin
            how: dict[str, Any] = {
                "mode": mode, "ablation": origin["ablation"], "reverse": origin["reverse"], "engine": config.engine,
                "reference": joined(train, validation),
            }  # fmt: skip
            runner = partial(_runner, validation, how)
            place, key = f"{task}/discover: {mode}, validation", (task, "validation", mode)
            yield Number(f"{place}: the circuit", origin["faithfulness"], origin["metric"], key, runner, circuit)
            for size, stated in origin["evaluated"].items():
                prefix = scores.first(int(size), ranking.by, ranking.selection)
                yield Number(f"{place}: {size} edges", stated, origin["metric"], key, runner, prefix)


def _of_verifications(run: Run) -> Iterator[Number]:
    for stage, task, own, found in runs_of_verifications(run):
        circuits, engine = work_list(own, task).circuits, own.config.verify.engine
        for row in (*found.faithfulness, *found.curve):
            how = {"mode": row.mode, "ablation": row.ablation, "reverse": row.reverse, "engine": engine}
            place, key = f"{stage}: {row.mode}, {row.ablation}, {row.direction}", (stage, *how.values())
            circuit, runner = circuits[row.mode], partial(_of_task, own, task, how)
            if isinstance(row, Measurement):
                yield Number(place, row.faithfulness, row.metric, key, runner, circuit)
                continue
            ranking = Ranking.of(scores_of(own, task), circuit)
            for size, stated in zip(row.sizes, row.faithfulness, strict=True):
                prefix = ranking.scores.first(size, ranking.by, ranking.selection)
                yield Number(f"{place}: {size} edges", stated, row.metric, key, runner, prefix)


def _of_task(run: Run, task: str, how: dict[str, Any], model: Model, memory: Memory) -> CircuitRunner:
    material = material_of(run, task, model)
    return _runner(material.pairs, {**how, "reference": material.reference}, model, memory)


def _of_transfers(run: Run) -> Iterator[Number]:
    for stage, cell in cells_of(run):
        row = cell.measured
        how = {"mode": row.mode, "ablation": row.ablation, "reverse": row.reverse, "engine": run.config.verify.engine}
        place = f"{stage}: {cell.circuit} on {cell.data}, {row.mode}, {row.direction}"
        key = (stage, cell.circuit, cell.data, *how.values())
        circuit = run.circuit(cell.circuit, row.mode)
        yield Number(place, row.faithfulness, row.metric, key, partial(_runner, pairs_of_cell(run, cell), how), circuit)


def _runner(pairs: Pairs, how: dict[str, Any], model: Model, memory: Memory) -> CircuitRunner:
    check_origin(model, pairs.header, "pairs")
    return circuit_runner(model, pairs, memory=memory, **how)
