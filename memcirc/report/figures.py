"""The figures, drawn once: inlined into the page as SVG and kept as files for papers."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memcirc.report.plotting import Figure, style
from memcirc.statistics import wilson

FOUND, CHANCE, INK, MUTED = "#1b5e8c", "#c26a1a", "#1d2329", "#8a939c"
EDGE_COLOURS = {"q": "#1b5e8c", "k": "#2f8f6b", "v": "#c26a1a", "m": "#7a4fa3", "logits": "#a8324a"}
MOST_EDGES_DRAWN = 200

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "memcirc",
}


def svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element that scales with the page; the same bytes for the same figure."""
    buffer = io.StringIO()
    with style(STYLE):
        figure.savefig(buffer, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def dose_response(copies: Sequence[int], exact: Sequence[bool], scores: Sequence[float]) -> Figure:
    """Copies in the corpus against recall: the share recited exactly (95 % Wilson intervals), and the mean score."""
    levels = sorted(set(copies))
    groups = [[i for i, c in enumerate(copies) if c == level] for level in levels]
    shares = [float(np.mean([exact[i] for i in rows])) for rows in groups]
    means = [float(np.mean([scores[i] for i in rows])) for rows in groups]
    bounds = [wilson(sum(exact[i] for i in rows), len(rows)) for rows in groups]
    errors = np.abs(np.array([[s - low, high - s] for s, (low, high) in zip(shares, bounds, strict=True)]).T)
    with style(STYLE):
        figure = Figure(figsize=(5.2, 3.1))
        axes = figure.subplots()
        x = np.arange(len(levels))
        axes.errorbar(
            x, shares, yerr=errors, color=FOUND, marker="o", capsize=3, label="recited exactly (95 % interval)"
        )
        axes.plot(x, means, color=CHANCE, marker="s", linestyle="--", label="mean memorization score")
        axes.set_xticks(x, [f"{level}\nn = {len(rows)}" for level, rows in zip(levels, groups, strict=True)])
        axes.set(xlabel="copies in the corpus", ylabel="share", ylim=(-0.03, 1.03))
        axes.legend(frameon=False, loc="lower right")
    return figure


def divergence_histogram(points: Sequence[int]) -> Figure:
    """After how many tokens of context do passages diverge?"""
    with style(STYLE):
        figure = Figure(figsize=(5.2, 2.4))
        axes = figure.subplots()
        axes.hist(points, bins=[n + 0.5 for n in range(max(points) + 1)], color=FOUND, rwidth=0.85)
        axes.set(xlabel="tokens of context at which recitation breaks off", ylabel="pairs")
    return figure


def faithfulness_curves(curves: Sequence[Mapping[str, Any]], sizes: Mapping[str, int], target: float) -> Figure:
    """Faithfulness of the ranking's prefixes against random circuits, a panel for each mode and direction."""
    with style(STYLE):
        figure = Figure(figsize=(8.6, 2.9 * ((len(curves) + 1) // 2)), layout="constrained")
        grid = figure.subplots((len(curves) + 1) // 2, 2, squeeze=False, sharey=True)
        for axes in grid.flat[len(curves) :]:
            axes.set_visible(False)
        for axes, curve in zip(grid.flat, curves, strict=False):
            n = curve["sizes"]
            axes.axhline(target, color=MUTED, linewidth=0.8, linestyle=":")
            axes.plot(
                n, curve["faithfulness"], color=FOUND, marker="o", markersize=3, label="found ranking, test pairs"
            )
            if curve["low"]:
                axes.fill_between(n, curve["low"], curve["high"], color=FOUND, alpha=0.15, linewidth=0)
            if curve["random_mean"]:
                axes.plot(n, curve["random_mean"], color=CHANCE, linestyle="--", label="random circuits, mean")
            if curve["random_q95"]:
                band = {"color": CHANCE, "alpha": 0.2, "label": "up to their 95th percentile"}
                axes.fill_between(n, curve["random_mean"], curve["random_q95"], **band)
            size = sizes.get(curve["mode"])
            if size:
                axes.axvline(size, color=INK, linewidth=0.8)
                axes.annotate(
                    f"{size} edges",
                    (size, 0.02),
                    xycoords=("data", "axes fraction"),
                    xytext=(4, 0),
                    textcoords="offset points",
                )
            axes.set(
                xscale="log", title=f"{curve['mode']}, {curve['ablation']}, {curve['direction']}", ylim=(-0.35, 1.35)
            )
            axes.set_xlabel("edges in the circuit")
        grid[0][0].set_ylabel("faithfulness")
        grid[0][0].legend(frameon=False, loc="upper left", fontsize=7.5)
    return figure


def circuit_diagram(shape: Mapping[str, Any], edges: Mapping[str, float]) -> Figure:
    """A circuit by layer: the input at the bottom, the logits on top, heads in columns, the MLP to their right.

    Args:
        shape: ``n_layers`` and ``n_heads``.
        edges: the circuit's edges with their scores; the ``MOST_EDGES_DRAWN`` highest are drawn.
    """
    places = _places(shape["n_layers"], shape["n_heads"])
    drawn = sorted(edges.items(), key=lambda item: -abs(item[1]))[:MOST_EDGES_DRAWN]
    strongest = max((abs(score) for _, score in drawn), default=1.0) or 1.0
    touched = {"input", "logits"}
    with style(STYLE):
        figure = Figure(figsize=(8.6, 1.0 + 0.95 * (2 * shape["n_layers"] + 1) / 1.6))
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
                x, y, name, ha="center", va="center", fontsize=6.5 if shape["n_heads"] > 8 else 7.5,
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


def _places(n_layers: int, n_heads: int) -> dict[str, tuple[float, float]]:
    """Where each node stands: heads of a layer in a row, their MLP above and to the right."""
    middle = n_heads / 2
    places = {"input": (middle, 0.0)}
    for layer in range(n_layers):
        for head in range(n_heads):
            places[f"a{layer}.h{head}"] = (float(head), 1.6 * layer + 1.0)
        places[f"m{layer}"] = (n_heads + 0.4, 1.6 * layer + 1.8)
    places["logits"] = (middle, 1.6 * n_layers + 1.2)
    return places
