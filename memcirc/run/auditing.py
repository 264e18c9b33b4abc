"""Does a finished run still hold? Files, what they were made from, splits, circuits, numbers and page, read only.

``memcirc audit RUN`` makes these checks in turn. What a stage's marker states by hash is computed anew; what several
artifacts state of one thing is held against each other, since whoever changes a file may also change its hash; a share
of the faithfulness numbers is measured again (:mod:`memcirc.run.remeasuring`); the page is made again beside the run.
A check that cannot be made is a finding, too: what is not known to hold is not passed over.
"""

import filecmp
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from memcirc.artifacts import DONE, Marker, read_json
from memcirc.interop.reading import read_scored
from memcirc.interventions import MODES
from memcirc.pairs.record import Pairs, TooFewPairs
from memcirc.pairs.splits import NAMES
from memcirc.report.page import write_report
from memcirc.run.manifest import installed
from memcirc.run.pipeline import Pipeline
from memcirc.run.reading import Run
from memcirc.run.remeasuring import cells_of, measured_again, numbers_of, pairs_of_cell, runs_of_verifications
from memcirc.run.scoring import DATA_FILE
from memcirc.statistics import normalised

ROUNDING = 1e-9
CLOCK = 0.006
SHOWN_LEAKS = 5


@dataclass(frozen=True)
class Checked:
    """What one check has looked at: how many of what, and what does not hold there; ``remark`` is no finding."""

    number: int
    of: str
    findings: tuple[str, ...] = ()
    remark: str = ""

    def row(self, check: str) -> dict[str, Any]:
        """A line of the table."""
        holds = f"{len(self.findings)} found" if self.findings else "holds"
        return {"check": check, "checked": self.number, "of": self.of, "result": holds, "remark": self.remark}


COLUMNS = ("check", "checked", "of", "result", "remark")
Check = Callable[[Run, Sequence[str]], Checked]


def audit(path: str | Path, share: float = 0.1, seed: int = 0) -> dict[str, Checked]:
    """Check a run; nothing is written to it.

    Args:
        share: which part of the faithfulness numbers is measured again, drawn by ``seed``; 0: none, and no model is
            loaded.

    Raises:
        FileNotFoundError: there is no run, or no stage of it is finished.
        ValueError: its configuration cannot be read, or a share outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share {share} is outside [0, 1]")
    run = Run(path)
    stages = stages_of(run)
    checks = dict(CHECKS)
    if share:
        checks["numbers"] = partial(_numbers, share=share, seed=seed)
    return {name: _guarded(check, run, stages) for name, check in checks.items()}


def stages_of(run: Run) -> tuple[str, ...]:
    """Names of the stages that have been finished, tasks' ones behind those of the run.

    Raises:
        FileNotFoundError: there is none.
    """
    _ = run.config
    found = sorted(marker.parent.relative_to(run.path).as_posix() for marker in run.path.rglob(DONE))
    if not found:
        raise FileNotFoundError(f"{run.path} has no finished stage; `memcirc run --run_dir {run.path}` makes them")
    return tuple(sorted(found, key=lambda name: name.count("/")))


def _guarded(check: Check, run: Run, stages: Sequence[str]) -> Checked:
    """A check, with the reason as its finding where it cannot be made."""
    try:
        return check(run, stages)
    except (ValueError, FileNotFoundError, KeyError, TypeError) as reason:
        return Checked(0, "", (f"cannot be checked: {' '.join(str(reason).split())}",))


def _files(run: Run, stages: Sequence[str]) -> Checked:
    """Every output by its hash; configuration and inputs of its stage; inputs that stand in the run."""
    findings, number = [], 0
    for stage in stages:
        marker = Marker.read(run.path / stage / DONE)
        number += len(marker.outputs)
        for file in marker.outputs:
            try:
                run.artifact(stage, file)
            except (ValueError, FileNotFoundError) as reason:
                findings.append(str(reason))
        gone = [key for key in marker.inputs if "/" in key and not (run.path / key).is_file()]
        findings += [f"{run.path / stage}: made from {key}, which is gone" for key in gone]
    return Checked(number, f"outputs of {len(stages)} stages", tuple(dict.fromkeys(findings)))


def _inputs(run: Run, stages: Sequence[str]) -> Checked:
    """Weights, tokenizer and twin, as every stage knew them; the corpus, as the windows knew it."""
    pipeline = Pipeline(run.path, run.config, terse=True)
    findings, known = [], {**pipeline.identity, **pipeline.corpus}
    stated = {stage: Marker.read(run.path / stage / DONE).config for stage in stages}
    number = 0
    for stage, was in stated.items():
        keys = [key for key in was if key in pipeline.identity or key.startswith(DATA_FILE)]
        number += len(keys)
        for key in keys:
            if was[key] != known.get(key):
                now = "not there" if known.get(key) is None else repr(known[key])
                findings.append(f"{stage}: {key} was {was[key]!r}, now {now}")
    return Checked(number, "statements of model, tokenizer and corpus", tuple(findings))


def _splits(run: Run, _: Sequence[str]) -> Checked:
    """Scores were computed on train, sizes chosen on validation, circuits verified on test."""
    found: list[tuple[str, Any, Any]] = []
    for task in _tasks_with(run, "discover"):
        train, validation, _test = run.splits(task)
        origins = [(f"{task}: edge scores", run.edge_scores(task).origin)]
        for mode in MODES:
            origin = run.circuit(task, mode).origin
            origins.append((f"{task}: circuit {mode}", origin))
            chosen = origin.get("size_chosen_on", {}).get("data_fingerprint")
            found.append((f"{task}: size of circuit {mode}, on validation", chosen, validation.fingerprint))
        found += [(f"{what}, on train", origin.get("data_fingerprint"), train.fingerprint) for what, origin in origins]
    for stage, task, part, verification in runs_of_verifications(run):
        if not part.config.verify.pairs_path:
            test = run.splits(task)[2][: part.config.verify.n_pairs]
            found.append((f"{stage}, on test", verification.statement.get("data_fingerprint"), test.fingerprint))
    findings = [f"{what}: states data {was}, the split is {now}" for what, was, now in found if was != now]
    return Checked(len(found), "statements of the data they are about", tuple(findings))


def _leakage(run: Run, _: Sequence[str]) -> Checked:
    """Documents, families, prompts and contexts of each split; families also as the corpus names them. A task whose
    pairs are too few to be split went no further."""
    families, findings, left_out, number = _families(run), [], [], 0
    for task in _tasks_with(run, "pairs"):
        try:
            parts = run.splits(task)
        except TooFewPairs as few:
            left_out.append(f"{task} has no splits: {few}")
            continue
        number += sum(map(len, parts))
        findings += [f"{task}: {leak}" for leak in leaks(parts, families)]
    for stage, cell in cells_of(run):
        left = pairs_of_cell(run, cell)
        if cell.data_fingerprint != left.fingerprint:
            findings.append(f"{stage}: {cell.circuit} on {cell.data} is of data {cell.data_fingerprint}, what the "
                            f"circuit was not found on is {left.fingerprint}")  # fmt: skip
    return Checked(number, "pairs in train, validation and test", tuple(findings), "; ".join(left_out))


def leaks(parts: Sequence[Pairs], families: Mapping[str, str]) -> list[str]:
    """What pairs of different splits share: documents, families, prompts or contexts, the first few of each task.

    Args:
        families: by the name of a document the family that the corpus puts it in; "" for none.
    """
    owners: dict[Any, set[str]] = defaultdict(set)
    for name, part in zip(NAMES, parts, strict=True):
        for pair in part:
            keys = set(pair.keys())
            keys |= {("family", families[pair.doc_id])} if families.get(pair.doc_id) else set()
            for key in keys:
                owners[key].add(name)
    shared = [(kind, value, names) for (kind, value), names in owners.items() if len(names) > 1]
    told = [f"{kind} {str(value)[:60]} is in {' and '.join(sorted(names))}" for kind, value, names in shared]
    more = [f"and {len(told) - SHOWN_LEAKS} more"] if len(told) > SHOWN_LEAKS else []
    return [*told[:SHOWN_LEAKS], *more]


def _families(run: Run) -> Mapping[str, str]:
    """The family of every document that was scored; none for pairs that were given."""
    if not run.has("score"):
        return {}
    table = pq.read_table(run.artifact("score", "scores.parquet"), columns=["doc_id", "family"])
    return dict(zip(table["doc_id"].to_pylist(), table["family"].to_pylist(), strict=True))


def _circuits(run: Run, _: Sequence[str]) -> Checked:
    """Each circuit carries the scores that it was chosen by, is the prefix that it says (unless refined), and has as
    many edges as is said of it."""
    findings, number = [], 0
    for task in _tasks_with(run, "discover"):
        scores = run.edge_scores(task)
        for mode in MODES:
            number += 1
            path = run.circuit_file(task, mode)
            scored = read_scored(path)
            origin = scored.circuit.origin
            if scored.graph != scores.graph or (scored.scores.float() != scores.values.float()).any():
                findings.append(f"{path}: its scores are not those of {task}/discover/edge_scores.safetensors")
            elif origin.get("n_edges") != len(scored.circuit):
                findings.append(f"{path}: states {origin.get('n_edges')} edges, it has {len(scored.circuit)}")
            elif "refined" not in origin:
                rule = origin.get("by", "abs"), origin.get("selection", "top")
                if scores.first(len(scored.circuit), *rule).edges != scored.circuit.edges:
                    findings.append(f"{path}: not the first {len(scored.circuit)} edges of its scores by {rule[0]}")
    return Checked(number, "circuits beside their scores", tuple(findings))


def _arithmetic(run: Run, _: Sequence[str]) -> Checked:
    """Every faithfulness follows from the value and the two ends that stand beside it."""
    rows = [(stage, row) for stage, *_, found in runs_of_verifications(run) for row in found.faithfulness]
    rows += [(stage, cell.measured) for stage, cell in cells_of(run)]
    findings = []
    for stage, row in rows:
        now = float(normalised(row.value, row.nothing, row.everything))
        if row.faithfulness is not None and not abs(now - row.faithfulness) <= ROUNDING * max(1, abs(now)):
            place = f"{stage}: {row.mode}, {row.ablation}, {row.direction}"
            findings.append(f"{place}: faithfulness {row.faithfulness:.6g}, its value and ends give {now:.6g}")
    return Checked(len(rows), "faithfulness numbers from their ends", tuple(findings))


def _versions(run: Run, stages: Sequence[str]) -> Checked:
    """What the last command ran with, beside what is installed; another version is told, and no finding: whether the
    numbers hold under it is measured. So are another device, and seconds that are not the marker's: an interrupted
    command leaves none in the manifest.
    """
    path = run.path / "manifest.json"
    if not path.is_file():
        return Checked(0, "", (f"{path} is not there: what the run was made with is not known",))
    content, now = read_json(path), installed()
    was = content["versions"]
    differ = [f"{name} was {was.get(name)}, now {now[name]}" for name in now if was.get(name) != now[name]]
    device = run.config.model.device
    for stage, *_, found in runs_of_verifications(run):
        if device not in ("auto", found.statement.get("device")):
            differ.append(f"{stage} was measured on {found.statement.get('device')}, the configuration says {device}")
    for stage, told in content["seconds"].items():
        took = Marker.read(run.path / stage / DONE).seconds if stage in stages else told
        if abs(took - told) > CLOCK:
            differ.append(f"{stage} took {took} s by its marker, {told} s by {path.name}")
    return Checked(len(now), "packages", remark="; ".join(differ))


def _numbers(run: Run, _: Sequence[str], share: float, seed: int) -> Checked:
    numbers = numbers_of(run)
    count = max(1, round(share * len(numbers)))
    drawn = sorted(np.random.default_rng(seed).choice(len(numbers), count, replace=False).tolist()) if numbers else []
    findings, furthest = measured_again(run, [numbers[i] for i in drawn])
    remark = f"tolerance: what rounding of the logits can move; at most {furthest:.2g} of it used"
    return Checked(len(drawn), f"{len(numbers)} faithfulness numbers, measured again", findings, remark)


def _page(run: Run, _: Sequence[str]) -> Checked:
    """The page and its tables are what the artifacts give."""
    folder = run.path / "report"
    if not folder.is_dir():
        return Checked(0, "files", remark="none has been made")
    with tempfile.TemporaryDirectory() as made:
        write_report(run.files(), Path(made))
        again = {path.relative_to(made) for path in Path(made).rglob("*") if path.suffix in COMPARED}
        same = {path for path in again if (folder / path).is_file()
                and filecmp.cmp(Path(made) / path, folder / path, shallow=False)}  # fmt: skip
    findings = [f"{folder / path} is not what the artifacts give; `memcirc report {run.path}` makes it anew"
                for path in sorted(again - same)]  # fmt: skip
    return Checked(len(again), "files of the page and its tables", tuple(findings))


COMPARED = (".html", ".md", ".json", ".csv", ".tex")


def _tasks_with(run: Run, stage: str) -> list[str]:
    return [task for task in run.tasks if run.has(f"{task}/{stage}")]


CHECKS: dict[str, Check] = {
    "files": _files,
    "inputs": _inputs,
    "splits": _splits,
    "leakage": _leakage,
    "circuits": _circuits,
    "arithmetic": _arithmetic,
    "versions": _versions,
    "page": _page,
}
