"""Transfer between a run's data sets: every task's circuits on every task's test pairs, and on those of each subset; in
the full verification also circuits found in one subset on the test pairs of every subset.

No circuit is measured on a document that its own attribution or size saw: each task's and each subset's test pairs are
taken, without those of documents on the other side's training and validation split.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Unpack, runtime_checkable

from memcirc.artifacts import slug
from memcirc.circuit import Circuit
from memcirc.interventions import MODES
from memcirc.models import Model
from memcirc.options import chosen
from memcirc.pairs.file import load_pairs
from memcirc.pairs.record import Pairs, joined
from memcirc.run.config import RunConfig
from memcirc.run.tasks import task_named
from memcirc.verification.transfer import Cell, Transfer, TransferOptions, transfer

SMALLEST_SUBSET = 8


@runtime_checkable
class Found(Protocol):
    """What transfer reads of a run whose circuits have been found; a task is ``TASK``, or ``TASK@SUBSET`` for the pairs
    of one subset."""

    @property
    def config(self) -> RunConfig: ...
    @property
    def model(self) -> Model: ...
    def pairs(self, task: str) -> Path: ...
    def splits(self, task: str) -> tuple[Pairs, ...]: ...
    def circuit(self, task: str, mode: str) -> Circuit: ...


def transfer_table(run: Found, tasks: Sequence[str], full: bool) -> dict[str, Any]:
    """All cells with their evaluation cards, and what was refused; on tasks whose circuits have been found."""
    plain = [task for task in tasks if not task_named(task).needs_twin]
    parts, refused = [_between_tasks(run, plain)], []
    parts += [_to_learned(run, tasks, task) for task in tasks if task_named(task).needs_twin]
    for task in plain if full else ():
        try:
            parts.append(_between_subsets(run, task))
        except ValueError as reason:
            refused.append(f"transfer between subsets of {task}: {reason}")
    return {
        **run.model.statement(),
        "averaging": "ratio of means over pairs",
        "seed": run.config.verify.seed,
        "cells": [_row(run, cell) for part in parts for cell in part.cells],
        "refused": [*(line for part in parts for line in part.refused), *refused],
    }


def _between_tasks(run: Found, tasks: Sequence[str]) -> Transfer:
    data = {name: pairs for task in tasks for name, pairs in test_sets(run, task).items()}
    return run_transfer(run, tasks, data)


def _to_learned(run: Found, tasks: Sequence[str], task: str) -> Transfer:
    """Every task's circuits on what was learned, against the twin."""
    how = run.config.of_task(task)
    return run_transfer(run, tasks, test_sets(run, task), ablation=how.discover.ablation, metric=how.verify.metric)


def test_sets(run: Found, task: str) -> dict[str, Pairs]:
    """A task's test pairs, and those of each subset that has enough."""
    test = run.splits(task)[-1]
    data = {task: test}
    for name in sorted({slug(pair.subset) for pair in test} - {""}):
        part = replace(test, items=tuple(pair for pair in test if slug(pair.subset) == name))
        if len(part) >= SMALLEST_SUBSET:
            data[f"{task}: {name}"] = part
    return data


def _between_subsets(run: Found, task: str) -> Transfer:
    names = [f"{task}@{name}" for name in usable_subsets(load_pairs(run.pairs(task)))]
    return run_transfer(run, names, {name: run.splits(name)[-1] for name in names})


def run_transfer(
    run: Found, names: Sequence[str], data: dict[str, Pairs], **options: Unpack[TransferOptions]
) -> Transfer:
    """The circuits of some tasks (``TASK`` or ``TASK@SUBSET``) on data sets, without what they were found on; as the
    run's verification is configured, with the options on top."""
    circuits: dict[str, dict[str, Circuit]] = {
        name: {mode: run.circuit(name, mode) for mode in MODES} for name in names
    }
    seen = {name: joined(*run.splits(name)[:-1]) for name in names}
    how: TransferOptions = {**transfer_options(run.config), **options}  # type: ignore[typeddict-item]
    return transfer(run.model, circuits, data, seen, **how)


def transfer_options(config: RunConfig) -> TransferOptions:
    """How a run's circuits are measured on other data: what its verification is configured with."""
    measured = {name: value for name, value in vars(config.verify).items() if name != "ablation"}
    return chosen(TransferOptions, measured)


def _row(run: Found, cell: Cell) -> dict[str, Any]:
    """A cell with its evaluation card."""
    card = {key: run.model.statement()[key] for key in ("model", "revision", "dtype")}
    origin = run.circuit(cell.circuit, cell.measured.mode).origin
    return {
        **card,
        "bos": run.config.prepare.bos,
        "pairs": f"{cell.measured.n_pairs} pairs ({cell.data_fingerprint})",
        "selection": f"{origin.get('selection')} by {origin.get('by')}",
        "averaging": "ratio of means over pairs",
        "seed": run.config.verify.seed,
        **cell.to_json(),
    }


def usable_subsets(pairs: Pairs) -> list[str]:
    """Subsets with pairs enough for three splits, as parts of folder names.

    Raises:
        ValueError: fewer than two.
    """
    counts = Counter(slug(pair.subset) for pair in pairs)
    usable = []
    for name in sorted(counts):
        items = tuple(pair for pair in pairs if slug(pair.subset) == name)
        if len(items) >= SMALLEST_SUBSET and len(Pairs(items).components()) >= 3:
            usable.append(name)
    if len(usable) < 2:
        raise ValueError(
            f"a cross-subset table needs two subsets of at least {SMALLEST_SUBSET} pairs in 3 unrelated groups; "
            f"there are {dict(counts)}"
        )
    return usable
