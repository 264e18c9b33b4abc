"""The README's picture and the numbers beside it, from a finished demo: ``python docs/making/picture.py runs/demo``.

Writes ``docs/assets/demo.svg`` and ``docs/assets/demo.json``; the README and ``docs/results/demo.md`` quote the latter.
"""

import json
import sys
from pathlib import Path
from typing import Any

import memcirc
from memcirc.report.circuits import EDGE_COLOURS, node_places
from memcirc.report.figures import CHANCE, FOUND, INK, MUTED, styled, svg
from memcirc.report.plotting import ConstrainedLayoutEngine, Figure

ASSETS = Path(__file__).parent.parent / "assets"
TEXTS = ("memorized", "near", "ordinary", "common")
SAID = {
    "memorized": "memorized,\nnot seen when\nit was found",
    "near": "most alike,\nnot memorized",
    "ordinary": "other text,\nnot memorized",
    "common": "recited by\nboth models",
}


def numbers(run: memcirc.Run) -> dict[str, Any]:
    """What is quoted, rounded as it is quoted."""
    found = {}
    for task in run.tasks:
        verification = run.verification(task)
        ablation = "twin" if task == "learned" else "resample"
        chance = {(row.mode, row.kind): row for row in verification.random}
        for row in verification.faithfulness:
            if row.ablation == ablation and row.direction == chance[row.mode, "connected"].direction:
                found[f"{task}, {row.mode}"] = {
                    "edges": row.n_edges,
                    "pairs": row.n_pairs,
                    "direction": row.direction,
                    "faithfulness": round(row.faithfulness, 2),
                    "interval": _rounded(row.low, row.high),
                    "connected_q95": round(chance[row.mode, "connected"].q95, 2),
                }
    added = {
        row.text: {
            "passages": row.n_passages,
            "added": round(row.added, 2),
            "interval": _rounded(row.low, row.high),
            "random": round(row.random_added, 2),
            "random_q95": round(row.random_q95, 2),
        }
        for row in run.verification("learned").removal
        if row.mode == "edge" and row.text in TEXTS
    }
    graph = run.edge_scores("learned").graph
    return {
        "graph_edges": graph.n_edges,
        "circuits": found,
        "taken_out": {text: added[text] for text in TEXTS if text in added},
    }


def _rounded(*numbers: float | None) -> list[float | None]:
    """To two digits; where a bootstrap had too few documents there is no interval."""
    return [None if number is None else round(number, 2) for number in numbers]


@styled
def picture(run: memcirc.Run, told: dict[str, Any]) -> Figure:
    """Left the necessary circuit by layer, right what taking it out adds to each kind of text."""
    figure = Figure(figsize=(9.2, 3.5), layout=ConstrainedLayoutEngine(w_pad=0.15))
    drawn, bars = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw(drawn, run)
    for place, row in enumerate(told["taken_out"].values()):
        error = [[row["added"] - row["interval"][0]], [row["interval"][1] - row["added"]]]
        bars.bar(place - 0.2, row["added"], 0.38, color=FOUND, yerr=error, ecolor=INK, capsize=2)
        bars.bar(place + 0.2, row["random"], 0.38, color=CHANCE)
        bars.plot([place + 0.01, place + 0.39], [row["random_q95"]] * 2, color=INK, linewidth=1)
        bars.text(place - 0.2, row["interval"][1] + 0.02, f"{row['added']:.2f}", ha="center", fontsize=8)
    edges = told["circuits"]["learned, edge"]["edges"]
    bars.bar(0, 0, color=FOUND, label=f"without the {edges} edges")
    bars.bar(0, 0, color=CHANCE, label=f"without {edges} random edges\n(line: their 95th percentile)")
    bars.set_xticks(range(len(told["taken_out"])), [SAID[text] for text in told["taken_out"]], fontsize=7.5)
    bars.set(ylabel="added loss, nats a token", title="What taking it out adds")
    bars.legend(frameon=False, fontsize=8)
    return figure


def _draw(axes: Any, run: memcirc.Run) -> None:
    circuit, scores = run.circuit("learned", "edge"), run.edge_scores("learned")
    shape = scores.graph.shape
    places, touched = node_places(shape.n_layers, shape.n_heads), {"input", "logits"}
    strongest = max(abs(scores[edge]) for edge in circuit)
    for edge in circuit:
        source, destination = edge.split("->")
        node, _, letter = destination.partition("<")
        touched |= {source, node}
        kind = letter.rstrip(">") or ("logits" if node == "logits" else "m")
        line = {"arrowstyle": "-", "color": EDGE_COLOURS[kind], "connectionstyle": "arc3,rad=0.08"}
        line["linewidth"] = 0.8 + 2.6 * abs(scores[edge]) / strongest
        axes.annotate("", places[node], places[source], arrowprops=line)
    for name, (x, y) in places.items():
        inside = name in touched
        colour, border = (INK, INK) if inside else ("#c4cad0", "#e2e6ea")
        box = {"boxstyle": "round,pad=0.22", "facecolor": "white", "edgecolor": border, "linewidth": 0.8}
        axes.text(x, y, name, ha="center", va="center", fontsize=6.5, color=colour, bbox=box)
    axes.set(
        xlim=(-0.7, max(x for x, _ in places.values()) + 0.7), ylim=(-0.5, max(y for _, y in places.values()) + 0.6)
    )
    axes.axis("off")
    axes.set_title(f"The necessary circuit: {len(circuit)} of {scores.graph.n_edges:,} edges", color=INK)
    for kind, said in {"m": "into an MLP", "logits": "into the logits"}.items():
        axes.plot([], [], color=EDGE_COLOURS[kind], label=said)
    axes.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 0.02), fontsize=8, labelcolor=MUTED)


def main(run_dir: str, folder: Path = ASSETS) -> None:
    run = memcirc.Run(run_dir)
    told = numbers(run)
    (folder / "demo.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    text = svg(picture(run, told)).replace("<svg ", '<svg style="background:#fff" ', 1)
    (folder / "demo.svg").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
