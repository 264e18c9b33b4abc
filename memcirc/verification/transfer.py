"""Circuits across data sets: does what was found on one data set hold on another?

A cell is a circuit on a data set's test pairs, with that data's own ends, in one mode and direction, and a 95 % interval
over documents. The diagonal is each circuit's own number: the same measurement as in its own verification.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from memcirc.circuit import Circuit
from memcirc.circuits.runner import circuit_runner
from memcirc.graph import graph_of
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from memcirc.verification.faithfulness import Measurement, measure
from memcirc.verification.origin import check_origin


@dataclass(frozen=True)
class Cell:
    """The circuit found in ``circuit``, measured on ``data``."""

    circuit: str
    data: str
    split: str
    data_fingerprint: str
    measured: Measurement


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


def transfer(
    model: Model,
    circuits: Mapping[str, Mapping[str, Circuit]],
    data: Mapping[str, Pairs],
    metric: str = "logit_diff",
    engine: str = "native",
    seed: int = 0,
) -> Transfer:
    """Every circuit on every data set, under resample, in both directions.

    Args:
        circuits: by name, then by mode.
        data: test pairs by name. Pairs of another tokenizer or model, and circuits of another graph, are refused
            cell by cell.
    """
    sound, refused = _sound(model, circuits)
    cells: list[Cell] = []
    for name, pairs in data.items():
        try:
            check_origin(model, pairs.header, f"pairs {name!r}")
            cells += list(_column(model, sound, name, pairs, metric, engine, seed))
        except ValueError as error:
            refused.append(f"transfer to {name}: {error}")
    return Transfer(tuple(cells), tuple(refused))


Circuits = Mapping[str, Mapping[str, Circuit]]


def _sound(model: Model, circuits: Circuits) -> tuple[Circuits, list[str]]:
    """The circuits that belong to the model and its graph, and why the others do not."""
    graph, refused = graph_of(model), []
    sound: dict[str, dict[str, Circuit]] = {}
    for name, by_mode in circuits.items():
        for mode, circuit in by_mode.items():
            try:
                check_origin(model, circuit.origin, f"circuit {name!r}")
                circuit.mask(graph)
                sound.setdefault(name, {})[mode] = circuit
            except ValueError as error:
                refused.append(f"transfer of {name}, {mode}: {error}")
    return sound, refused


def _column(
    model: Model, circuits: Circuits, name: str, pairs: Pairs, metric: str, engine: str, seed: int
) -> Iterator[Cell]:
    for mode in sorted({mode for by_mode in circuits.values() for mode in by_mode}):
        for reverse in (False, True):
            runner = circuit_runner(model, pairs, mode=mode, reverse=reverse, engine=engine)
            for found_in, by_mode in circuits.items():
                if mode in by_mode:
                    measured = measure(runner, by_mode[mode], metric, seed)
                    yield Cell(found_in, name, str(pairs.header.get("split")), pairs.fingerprint, measured)
