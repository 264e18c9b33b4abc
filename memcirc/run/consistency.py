"""What several artifacts of a finished run state of one thing, held against each other.

Whoever changes a file may also change the hash by which its stage knows it; what other files say of it stays. Each
check is one of an audit's (:mod:`memcirc.run.auditing`): it takes the run and gives what it has looked at.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from memcirc.artifacts import read_json
from memcirc.corpus.windows import WindowsFile
from memcirc.interop.reading import read_scored
from memcirc.interventions import MODES
from memcirc.pairs.record import Pairs, TooFewPairs
from memcirc.pairs.splits import NAMES
from memcirc.run.reading import Run
from memcirc.run.remeasuring import cells_of, pairs_of_cell, runs_of_verifications
from memcirc.statistics import normalised

ROUNDING = 1e-9
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


def windows(run: Run, _: Sequence[str]) -> Checked:
    """What is said of the corpus beside the windows is what their own file says, which every later stage is made
    from."""
    of = "statements of the corpus"
    if not run.has("windows"):
        gone = f"{run.path / 'windows'}: the stage has no marker, and later ones were made from it"
        if run.has("score"):
            return Checked(0, of, (gone,))
        return Checked(0, of, remark="pairs were given, no windows were cut")
    told = dict(read_json(path := run.artifact("windows", "stats.json")))
    known = dict(WindowsFile(run.artifact("windows", "windows.parquet")).origin["stats"])
    same = {key for key in told.keys() & known.keys() if told[key] == known[key]}
    findings = [f"{path}: {key} is not what the windows' own file says" for key in sorted({*told, *known} - same)]
    return Checked(len(known), of, tuple(findings))


def splits(run: Run, _: Sequence[str]) -> Checked:
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


def leakage(run: Run, _: Sequence[str]) -> Checked:
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


def circuits(run: Run, _: Sequence[str]) -> Checked:
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


def arithmetic(run: Run, _: Sequence[str]) -> Checked:
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


def _tasks_with(run: Run, stage: str) -> list[str]:
    return [task for task in run.tasks if run.has(f"{task}/{stage}")]
