"""The circuits that a run has found, from their files, and their diagram."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memcirc.artifacts import read_json
from memcirc.interventions import RunSettings
from memcirc.report.figures import INK, styled
from memcirc.report.plotting import Figure

EDGE_COLOURS = {"q": "#1b5e8c", "k": "#2f8f6b", "v": "#c26a1a", "m": "#7a4fa3", "logits": "#a8324a"}
MOST_EDGES_DRAWN = 200
MOST_RANKED = 400


@dataclass(frozen=True)
class FoundCircuit:
    """A minimal circuit: the way to run it, its size among ``graph_edges``, the search that chose it on validation,
    its edges' ``scores``, and the ``MOST_RANKED`` first edges of all in the order in which circuits take them (none
    where that is not the size of their scores). ``also_under``: further ablations under which it was to reach the
    target; ``prefix`` and ``prefix_alone``: the smallest prefix that does so, and the one that does under its own
    ablation."""

    way: RunSettings
    n_edges: int
    graph_edges: int
    target: float
    target_met: bool
    faithfulness: float
    monotone: bool
    n_layers: int
    n_heads: int
    scores: Mapping[str, float]
    ranking: Mapping[str, float] = field(default_factory=dict)
    also_under: tuple[str, ...] = ()
    prefix: int | None = None
    prefix_alone: int | None = None


def found_circuit(path: Path) -> FoundCircuit:
    """The circuit of a file."""
    content = read_json(path)
    told, shape, edges = content["memcirc"], content["cfg"], content["edges"]
    return FoundCircuit(
        way=RunSettings(told["mode"], told["ablation"], told["reverse"]),
        n_edges=told["n_edges"],
        graph_edges=len(edges),
        target=told["target"],
        target_met=told["target_met"],
        faithfulness=told["faithfulness"],
        monotone=told["monotone"],
        n_layers=shape["n_layers"],
        n_heads=shape["n_heads"],
        scores={name: edge["score"] for name, edge in edges.items() if edge["in_graph"]},
        ranking=_ranking({name: edge["score"] for name, edge in edges.items()}, told),
        also_under=tuple(told.get("also_under", ())),
        prefix=told.get("prefix"),
        prefix_alone=told.get("prefix_alone"),
    )


def _ranking(scores: Mapping[str, float], told: Mapping[str, Any]) -> dict[str, float]:
    """The first edges; equal ones stand as in the file."""
    if (told.get("selection"), told.get("by")) != ("top", "abs"):
        return {}
    return dict(sorted(scores.items(), key=lambda item: -abs(item[1]))[:MOST_RANKED])


@styled
def circuit_diagram(circuit: FoundCircuit) -> Figure:
    """A circuit by layer: the input at the bottom, the logits on top, heads in columns, the MLP to their right. Of its
    edges the ``MOST_EDGES_DRAWN`` highest-scored are drawn."""
    places = node_places(circuit.n_layers, circuit.n_heads)
    drawn = sorted(circuit.scores.items(), key=lambda item: -abs(item[1]))[:MOST_EDGES_DRAWN]
    strongest = max((abs(score) for _, score in drawn), default=1.0) or 1.0
    touched = {"input", "logits"}
    figure = Figure(figsize=(8.6, 1.0 + 0.95 * (2 * circuit.n_layers + 1) / 1.6))
    axes = figure.subplots()
    axes.axis("off")
    for name, score in reversed(drawn):
        source, destination = name.split("->")
        node, _, letter = destination.partition("<")
        touched |= {source, node}
        kind = letter.rstrip(">") or ("logits" if node == "logits" else "m")
        (x0, y0), (x1, y1) = places[source], places[node]
        axes.annotate(
            "", (x1, y1), (x0, y0),
            arrowprops={
                "arrowstyle": "-", "color": EDGE_COLOURS[kind], "alpha": 0.45 + 0.5 * abs(score) / strongest,
                "linewidth": 0.5 + 2.8 * abs(score) / strongest, "connectionstyle": "arc3,rad=0.06",
            },
        )  # fmt: skip
    for name, (x, y) in places.items():
        inside = name in touched
        axes.text(
            x, y, name, ha="center", va="center", fontsize=6.5 if circuit.n_heads > 8 else 7.5,
            color=INK if inside else "#c4cad0",
            bbox={"boxstyle": "round,pad=0.25", "facecolor": "white",
                  "edgecolor": INK if inside else "#e2e6ea", "linewidth": 0.8},
        )  # fmt: skip
    width, height = max(x for x, _ in places.values()), max(y for _, y in places.values())
    axes.set(xlim=(-0.7, width + 0.7), ylim=(-0.5, height + 0.5))
    for kind, colour in EDGE_COLOURS.items():
        axes.plot(
            [], [], color=colour, label={"m": "into an MLP", "logits": "into the logits"}.get(kind, f"into {kind}")
        )
    axes.legend(frameon=False, ncols=5, loc="upper center", bbox_to_anchor=(0.5, 0.0), fontsize=8)
    return figure


def node_places(n_layers: int, n_heads: int) -> dict[str, tuple[float, float]]:
    """Where each node stands: heads of a layer in a row, their MLP above and to the right."""
    middle = n_heads / 2
    places = {"input": (middle, 0.0)}
    for layer in range(n_layers):
        for head in range(n_heads):
            places[f"a{layer}.h{head}"] = (float(head), 1.6 * layer + 1.0)
        places[f"m{layer}"] = (n_heads + 0.4, 1.6 * layer + 1.8)
    places["logits"] = (middle, 1.6 * n_layers + 1.2)
    return places
