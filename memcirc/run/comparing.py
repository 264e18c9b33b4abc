"""Two runs side by side: what they were asked, on what, the circuits they found, and the numbers with their intervals.

Only what both have is compared; what one lacks is named. Circuits of two models are compared where their graphs are the
same, as of a model and its fine-tuned form; of two graphs no edge is the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memcirc.artifacts import differences
from memcirc.circuit import Circuit
from memcirc.interop.reading import load_circuit
from memcirc.interventions import MODES
from memcirc.pairs.record import Pairs
from memcirc.report.tables import text_table
from memcirc.run.reading import Run
from memcirc.verification.faithfulness import Measurement
from memcirc.verification.record import AnyRecord
from memcirc.verification.removal import Removal
from memcirc.verification.result import Verification
from memcirc.verification.specificity import Dissociation

MEASURED: tuple[tuple[type[AnyRecord], str, tuple[str, ...]], ...] = (
    (Measurement, "faithfulness", ("mode", "ablation", "direction", "metric")),
    (Removal, "added", ("mode", "ablation", "text")),
    (Dissociation, "rise", ("mode", "ablation", "text")),
)
"""Records with a 95 % interval: their type, their number, and what says which of them are of the same thing."""
Interval = tuple[float | None, float | None, float | None]
LISTED = 12


@dataclass(frozen=True)
class Data:
    """The pairs of a task in both runs; ``shared``: the same prompts and answers; ``documents``: in both."""

    task: str
    first: int
    second: int
    shared: int
    documents: int
    same: bool


@dataclass(frozen=True)
class Overlap:
    """One circuit in both runs: its edges in each, in both, their Jaccard index, and the edges of one alone."""

    task: str
    mode: str
    first: int
    second: int
    shared: int
    jaccard: float
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


@dataclass(frozen=True)
class Number:
    """A number of both runs with 95 % intervals (None with too few documents); ``apart``: these do not touch."""

    task: str
    number: str
    of: str
    first: float | None
    first_low: float | None
    first_high: float | None
    second: float | None
    second_low: float | None
    second_high: float | None
    apart: bool | None


@dataclass(frozen=True)
class Comparison:
    """Two runs; ``configuration`` names the options that differ, ``absent`` what only one of them has."""

    first: str
    second: str
    configuration: tuple[str, ...]
    data: tuple[Data, ...]
    circuits: tuple[Overlap, ...]
    numbers: tuple[Number, ...]
    absent: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The content as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        """The tables as text."""
        parts = [
            f"first: {self.first}\nsecond: {self.second}",
            "\n".join(["configuration", *(self.configuration or ("the same",))]),
            _block("data", [asdict(row) for row in self.data], ("task", "first", "second", "shared", "documents")),
            _block("circuits", [asdict(row) for row in self.circuits], EDGES),
            "\n".join(line for row in self.circuits for line in _alone(row)),
            _block("numbers", [_number(row) for row in self.numbers], NUMBERS),
            "\n".join(self.absent),
        ]
        return "\n\n".join(part for part in parts if part)


EDGES = ("task", "mode", "first", "second", "shared", "jaccard")
NUMBERS = ("task", "number", "of", "first", "interval", "second", "its interval", "apart")


def compare(first: str | Path, second: str | Path) -> Comparison:
    """Compare two runs.

    Raises:
        FileNotFoundError: no run there, or no pairs, circuit or verification that both have.
        ValueError: circuits of two graphs, which names both models; an artifact that is not as its stage left it.
    """
    runs = Run(first), Run(second)
    data, circuits, numbers, absent = [], [], [], []
    for task in dict.fromkeys((*runs[0].tasks, *runs[1].tasks)):
        for stage, made in (("pairs", "pairs"), ("discover", "circuits"), ("verify", "verification")):
            lacking = [run.path for run in runs if task not in run.tasks or not run.has(f"{task}/{stage}")]
            if lacking:
                absent += [f"{task}: {path} has no {made} of it" for path in lacking]
            elif stage == "pairs":
                data.append(_data(task, runs[0].pairs(task), runs[1].pairs(task)))
            elif stage == "discover":
                circuits += [_overlap(task, mode, *runs) for mode in MODES]
            else:
                numbers += list(_numbers(task, runs[0].verification(task), runs[1].verification(task)))
    if not data:
        raise FileNotFoundError(f"{first} and {second} have no task in common whose pairs are made")
    was, now = (_options(run) for run in runs)
    return Comparison(
        str(first), str(second), tuple(differences(was, now)), tuple(data), tuple(circuits), tuple(numbers),
        tuple(absent),
    )  # fmt: skip


def _options(run: Run) -> dict[str, Any]:
    return {f"{name}.{key}": value for name, part in run.config.sections.items() for key, value in part.items()}


def _data(task: str, first: Pairs, second: Pairs) -> Data:
    known = [
        {(pair.clean_ids, pair.corrupt_ids, pair.answer_ids, pair.wrong_answer_ids) for pair in pairs}
        for pairs in (first, second)
    ]
    documents = [{pair.doc_id for pair in pairs if pair.doc_id} for pairs in (first, second)]
    shared, both = known[0] & known[1], documents[0] & documents[1]
    return Data(task, len(first), len(second), len(shared), len(both), first.fingerprint == second.fingerprint)


def _overlap(task: str, mode: str, first: Run, second: Run) -> Overlap:
    (one, graph), (other, other_graph) = (load_circuit(run.circuit_file(task, mode)) for run in (first, second))
    if graph != other_graph:
        raise ValueError(
            f"{first.path} has a circuit of model {one.origin.get('model')} (of {graph.n_edges} edges), {second.path} "
            f"one of model {other.origin.get('model')} (of {other_graph.n_edges}): not the same graph"
        )
    return overlap(task, mode, one, other)


def overlap(task: str, mode: str, first: Circuit, second: Circuit) -> Overlap:
    """How two circuits of one graph overlap; of two without edges the Jaccard index is 1."""
    shared, either = first.edges & second.edges, first.edges | second.edges
    jaccard = len(shared) / len(either) if either else 1.0
    only = tuple(sorted(first.edges - shared)), tuple(sorted(second.edges - shared))
    return Overlap(task, mode, len(first), len(second), len(shared), jaccard, *only)


def _numbers(task: str, first: Verification, second: Verification) -> Iterator[Number]:
    for record, name, key in MEASURED:
        known = {_key(row, key): row for row in second.of(record)}
        for row in first.of(record):
            if other := known.get(_key(row, key)):
                ours, theirs = _interval(row, name), _interval(other, name)
                yield Number(task, name, ", ".join(_key(row, key)), *ours, *theirs, _apart(ours, theirs))


def _key(record: AnyRecord, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(getattr(record, name)) for name in names)


def _interval(record: AnyRecord, name: str) -> Interval:
    value, low, high = (getattr(record, field) for field in (name, "low", "high"))
    return value, low, high


def _apart(first: Interval, second: Interval) -> bool | None:
    (_, low, high), (_, other_low, other_high) = first, second
    if low is None or high is None or other_low is None or other_high is None:
        return None
    return max(low, other_low) > min(high, other_high)


def _block(title: str, rows: Sequence[Mapping[str, Any]], columns: tuple[str, ...]) -> str:
    return f"{title}\n{text_table(rows, columns)}" if rows else ""


def _alone(row: Overlap) -> Iterator[str]:
    """The edges of one circuit alone, in a line each; of many the first."""
    for name, edges in (("first", row.only_first), ("second", row.only_second)):
        if edges:
            more = f" and {len(edges) - LISTED} more" if len(edges) > LISTED else ""
            yield f"{row.task}, {row.mode}, {name} alone: {' '.join(edges[:LISTED])}{more}"


def _number(row: Number) -> Mapping[str, Any]:
    return {
        **asdict(row),
        "interval": _said(row.first_low, row.first_high),
        "its interval": _said(row.second_low, row.second_high),
    }


def _said(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{low:.2f} to {high:.2f}"
