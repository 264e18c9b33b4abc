"""Circuits across data sets: does what was found on one data set hold on another?

A cell is a circuit on a data set's test pairs, with that data's own ends, in one mode and direction, and a 95 %
interval over documents. Pairs of documents (or families) that the circuit's own attribution or size saw are left out of
its cells, and counted. The diagonal is each circuit's own number: the same measurement as in its own verification.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypedDict, Unpack

from memcirc.circuit import Circuit
from memcirc.circuits.runner import circuit_runner
from memcirc.config import shortened
from memcirc.graph import graph_of
from memcirc.models import Model
from memcirc.options import refuse_keywords
from memcirc.origin import check_origin
from memcirc.pairs.record import Pair, Pairs
from memcirc.verification.faithfulness import Measurement, measure
from memcirc.verification.resampling import RESAMPLES


@dataclass(frozen=True)
class Cell:
    """The circuit found in ``circuit``, measured on ``data`` without the ``n_seen`` pairs of documents it was found
    on."""

    circuit: str
    data: str
    split: str
    data_fingerprint: str
    n_seen: int
    measured: Measurement

    def to_json(self) -> dict[str, Any]:
        """The cell as plain values, with those of its measurement."""
        own = {name: getattr(self, name) for name in OF_A_CELL}
        return {**own, **self.measured.to_json()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Cell":
        """The cell that :meth:`to_json` gave; what else stands in the row is passed over."""
        return cls(**{name: row[name] for name in OF_A_CELL}, measured=Measurement.from_json(row))


OF_A_CELL = ("circuit", "data", "split", "data_fingerprint", "n_seen")


@dataclass(frozen=True)
class Transfer:
    """All cells, and what could not be measured, with the reason."""

    cells: tuple[Cell, ...]
    refused: tuple[str, ...]

    def matrix(self, mode: str, direction: str) -> dict[str, dict[str, float | None]]:
        """Faithfulness by circuit and data set."""
        found: dict[str, dict[str, float | None]] = {}
        for cell in self.cells:
            if (cell.measured.mode, cell.measured.direction) == (mode, direction):
                found.setdefault(cell.circuit, {})[cell.data] = cell.measured.faithfulness
        return found


Circuits = Mapping[str, Mapping[str, Circuit]]


class TransferOptions(TypedDict, total=False):
    """What :func:`transfer` takes by name: the fields of :class:`Measuring`."""

    metric: str
    ablation: str
    engine: str
    seed: int
    n_resamples: int


@dataclass(frozen=True)
class Measuring:
    """Which metric, under which ablation, who computes, and the bootstrap's seed and resamples."""

    metric: str = "logit_diff"
    ablation: str = "resample"
    engine: str = "native"
    seed: int = 0
    n_resamples: int = RESAMPLES


def transfer(
    model: Model,
    circuits: Circuits,
    data: Mapping[str, Pairs],
    seen: Mapping[str, Pairs] | None = None,
    **options: Unpack[TransferOptions],
) -> Transfer:
    """Every circuit on every data set, in both directions.

    Args:
        circuits: by name, then by mode: ``{"branch": {"tree": circuit, "edge": other}}``.
        data: test pairs by name. Pairs of another tokenizer or model, and circuits of another graph, are refused by
            name, the others measured.
        seen: by a circuit's name, the pairs that it was found on.
        options: of :class:`TransferOptions`: ``metric`` ("logit_diff"), ``ablation`` ("resample"), ``engine``
            ("native"), and ``seed`` (0) and ``n_resamples`` of the bootstrap.

    Raises:
        TypeError: an option that there is not.
        ValueError: a circuit where one a mode is expected.
    """
    refuse_keywords("transfer", options, TransferOptions.__annotations__)
    measuring = Measuring(**options)
    single = [name for name, by_mode in circuits.items() if not isinstance(by_mode, Mapping)]
    if single:
        raise ValueError(f"circuits[{single[0]!r}] is no mapping from mode to circuit, as {{'tree': circuit}}")
    sound, refused = _sound(model, circuits)
    cells: list[Cell] = []
    for found_in, by_mode in sound.items():
        for name, pairs in data.items():
            try:
                check_origin(model, pairs.header, f"pairs {name!r}")
                left = unseen(pairs, (seen or {}).get(found_in, ()))
                n_seen = len(pairs) - len(left)
                if not len(left):
                    raise ValueError(f"all {n_seen} pairs are of documents that the circuit was found on")
                for measured in _measured(model, by_mode, left, measuring):
                    split = str(pairs.header.get("split"))
                    cells.append(Cell(found_in, name, split, left.fingerprint, n_seen, measured))
            except ValueError as error:
                refused.append(f"transfer from {found_in} to {name}: {error}")
    return Transfer(tuple(cells), tuple(refused))


def unseen(pairs: Pairs, seen: Collection[Pair]) -> Pairs:
    """Those of some pairs that share no document or family with what a circuit was found on."""
    documents = _documents(seen)
    return replace(pairs, items=tuple(pair for pair in pairs if not _documents([pair]) & documents))


def _documents(pairs: Collection[Pair]) -> set[str]:
    """Names of the documents and families that pairs come from."""
    names = {name for pair in pairs for name in (pair.doc_id, pair.corrupt_doc_id, pair.family)}
    return names - {""}


def _sound(model: Model, circuits: Circuits) -> tuple[Circuits, list[str]]:
    """The circuits that belong to the model and its graph, and why the others do not."""
    graph = graph_of(model)
    sound: dict[str, dict[str, Circuit]] = {}
    refused: list[str] = []
    for name, by_mode in circuits.items():
        for mode, circuit in by_mode.items():
            try:
                if not isinstance(circuit, Circuit):
                    raise ValueError(f"{shortened(circuit)} is no Circuit; Circuit.from_edges makes one")
                check_origin(model, circuit.origin, f"circuit {name!r}")
                circuit.mask(graph)
                sound.setdefault(name, {})[mode] = circuit
            except ValueError as error:
                refused.append(f"transfer of {name}, {mode}: {error}")
    return sound, refused


def _measured(model: Model, by_mode: Mapping[str, Circuit], pairs: Pairs, how: Measuring) -> Iterator[Measurement]:
    for mode, circuit in by_mode.items():
        for reverse in (False, True):
            runner = circuit_runner(model, pairs, mode=mode, ablation=how.ablation, reverse=reverse, engine=how.engine)
            yield measure(runner, circuit, how.metric, how.seed, how.n_resamples)
