"""Circuits to look into: each drawn by layer, at every size that was measured, with its edges in words.

A sheet holds all that the page's script shows and hides; without the script the circuit itself is shown.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from memcirc.report.circuits import FoundCircuit, node_places
from memcirc.report.evidence import Evidence
from memcirc.report.words import act, edge_words
from memcirc.verification.curves import Curve
from memcirc.verification.faithfulness import Measurement
from memcirc.verification.stability import Stability

COLUMN, ROW, MARGIN = 64.0, 42.0, 44.0
BEND = 0.06


@dataclass(frozen=True)
class Node:
    """A node and where it stands."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Edge:
    """An edge: its road on the sheet, what it reads (q, k, v, m or logits), its place in the ranking (None: beyond
    what is kept of that), whether the circuit has it, and the share of circuits of other draws of documents that do
    (None: not measured)."""

    name: str
    score: float
    path: str
    kind: str
    width: float
    rank: int | None
    inside: bool
    found_again: float | None = None

    @property
    def title(self) -> str:
        """The edge in words."""
        again = (
            ""
            if self.found_again is None
            else f"; {100 * self.found_again:.0f} % of other draws of documents find it too"
        )
        return f"{self.name}: {edge_words(self.name)}, score {self.score:.3g}{again}"


@dataclass(frozen=True)
class Stop:
    """A size, and what was measured there; ``found``: the circuit itself, which may lack edges of the ranking."""

    n: int
    text: str
    found: bool = False


@dataclass(frozen=True)
class Sheet:
    """One circuit; its sizes from small to large."""

    label: str
    width: float
    height: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    stops: tuple[Stop, ...]

    @property
    def plain_stops(self) -> list[dict[str, Any]]:
        """The stops as the script reads them."""
        return [asdict(stop) for stop in self.stops]

    @property
    def start(self) -> int:
        """The stop at the circuit itself."""
        return next(i for i, stop in enumerate(self.stops) if stop.found)


def sheets_of(evidence: Evidence) -> Iterator[Sheet]:
    """A sheet for each circuit of a task."""
    for mode, circuit in evidence.circuits.items():
        yield _sheet(evidence.of_mode(mode), circuit)


def _sheet(evidence: Evidence, circuit: FoundCircuit) -> Sheet:
    places = node_places(circuit.n_layers, circuit.n_heads)
    height = max(y for _, y in places.values()) * ROW + 2 * MARGIN
    at = {name: (x * COLUMN + MARGIN, height - MARGIN - y * ROW) for name, (x, y) in places.items()}
    ranks = {name: i + 1 for i, name in enumerate(circuit.ranking)}
    scores = {**circuit.scores, **circuit.ranking}
    strongest = max(map(abs, scores.values()), default=1.0) or 1.0
    again = next((row.found_again for row in evidence.own(Stability)), {})
    edges = (
        Edge(name, score, *_road(name, at), _width(score / strongest), ranks.get(name), name in circuit.scores,
             again.get(name))
        for name, score in scores.items()
    )  # fmt: skip
    return Sheet(
        f"{evidence.task}: {circuit.n_edges} edges, {act(circuit.way)}",
        max(x for x, _ in at.values()) + MARGIN,
        height,
        tuple(Node(name, *place) for name, place in at.items()),
        tuple(sorted(edges, key=lambda edge: abs(edge.score))),
        tuple(_stops(evidence, circuit)),
    )


def _road(name: str, at: Mapping[str, tuple[float, float]]) -> tuple[str, str]:
    """An edge's way over the sheet, and what it reads."""
    source, destination = name.split("->")
    node, _, letter = destination.partition("<")
    (x0, y0), (x1, y1) = at[source], at[node]
    bend_x, bend_y = (x0 + x1) / 2 + BEND * (y1 - y0), (y0 + y1) / 2 - BEND * (x1 - x0)
    kind = letter.rstrip(">") or ("logits" if node == "logits" else "m")
    path = f"M{x0:.0f} {y0:.0f}Q{bend_x:.0f} {bend_y:.0f} {x1:.0f} {y1:.0f}"
    return path, kind


def _width(share: float) -> float:
    return round(0.8 + 4 * abs(share), 1)


def _stops(evidence: Evidence, circuit: FoundCircuit) -> list[Stop]:
    """The sizes that were measured as far as the ranking is kept, and the circuit itself."""
    found = next((_said(row.faithfulness, row.low, row.high) for row in evidence.own(Measurement)), "not measured")
    verb, size = circuit.way.verb, circuit.n_edges
    stops = [Stop(size, f"The circuit, {_edges(size)}: {verb} {found}", found=True)]
    for curve in evidence.own(Curve):
        for i, n in enumerate(curve.sizes):
            if not 0 < n <= len(circuit.ranking):
                continue
            low, high = (curve.low[i], curve.high[i]) if curve.low else (None, None)
            chance = f"; random circuits of that size {curve.random_mean[i]:.2f}" if curve.random_mean else ""
            said = _said(curve.faithfulness[i], low, high)
            stops.append(Stop(n, f"The first {_edges(n)} of the ranking: {verb} {said}{chance}"))
    return sorted(stops, key=lambda stop: (stop.n, stop.found))


def _edges(n: int) -> str:
    return "1 edge" if n == 1 else f"{n} edges"


def _said(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "what is not defined"
    interval = "" if low is None or high is None else f" (95 % interval {low:.2f} to {high:.2f})"
    return f"{value:.2f} of the behaviour{interval}"
