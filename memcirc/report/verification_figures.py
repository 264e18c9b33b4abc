"""The figures of a verification: curves, random circuits, transfer, stability, dissociation, recitation, later
tokens."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memcirc.report.figures import CHANCE, FOUND, INK, MUTED, STYLE
from memcirc.report.plotting import Axes, ConstrainedLayoutEngine, Figure, style

Rows = Sequence[Mapping[str, Any]]
ABLATION_COLOURS = {"resample": FOUND, "zero": "#2f8f6b", "mean-clean": CHANCE, "mean-corrupt": "#7a4fa3"}


def panels(
    n: int, width: float = 4.3, height: float = 2.9, columns: int = 2, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A grid of n panels; what is left over is hidden."""
    n_rows = -(-n // columns)
    layout = ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.06)
    figure = Figure(figsize=(width * min(n, columns), height * n_rows), layout=layout)
    grid = figure.subplots(n_rows, min(n, columns), squeeze=False, **options)
    for axes in grid.flat[n:]:
        axes.set_visible(False)
    return figure, list(grid.flat[:n])


def heatmap(axes: Axes, values: np.ndarray, lowest: float) -> None:
    """Cells from pale at ``lowest`` to dark at 1.2, as vectors; the first row on top."""
    n_rows, n_columns = values.shape
    edges = np.arange(n_columns + 1) - 0.5, np.arange(n_rows + 1) - 0.5
    axes.pcolormesh(*edges, values, cmap="Blues", vmin=lowest, vmax=1.2, edgecolors="white", linewidth=0.8)
    axes.invert_yaxis()


def ablation_curves(curves: Rows, target: float) -> Figure:
    """Faithfulness of the ranking's prefixes under every ablation, a panel for each mode and direction."""
    keys = list(dict.fromkeys((c["mode"], c["direction"]) for c in curves))
    with style(STYLE):
        figure, grid = panels(len(keys), sharey=True)
        for axes, (mode, direction) in zip(grid, keys, strict=True):
            axes.axhline(target, color=MUTED, linewidth=0.8, linestyle=":")
            for curve in curves:
                if (curve["mode"], curve["direction"]) == (mode, direction):
                    colour = ABLATION_COLOURS.get(curve["ablation"], INK)
                    axes.plot(curve["sizes"], curve["faithfulness"], color=colour, label=curve["ablation"])
            axes.set(xscale="log", title=f"{mode}, {direction}", ylim=(-0.5, 1.6), xlabel="edges in the circuit")
        grid[0].set_ylabel("faithfulness")
        grid[0].legend(frameon=False, fontsize=7.5, loc="upper left")
    return figure


def random_comparison(rows: Rows) -> Figure:
    """Where random circuits of each kind lie, beside the found one."""
    keys = list(dict.fromkeys((r["mode"], r["direction"]) for r in rows))
    with style(STYLE):
        figure, grid = panels(len(keys), height=2.2, sharex=True)
        for axes, (mode, direction) in zip(grid, keys, strict=True):
            some = [r for r in rows if (r["mode"], r["direction"]) == (mode, direction)]
            y = np.arange(len(some))[::-1]
            axes.axvline(some[0]["found"], color=FOUND, linewidth=2, label="found circuit")
            axes.hlines(y, [r["q05"] for r in some], [r["q95"] for r in some], color=CHANCE, linewidth=5, alpha=0.45,
                        label="random circuits, 5 to 95 %")  # fmt: skip
            axes.plot([r["median"] for r in some], y, "o", color=CHANCE, markersize=5, label="median")
            axes.plot([r["highest"] for r in some], y, "|", color=INK, markersize=9, label="highest")
            axes.set_yticks(y, [f"{r['kind']} ({r['overlap']:.0%} shared)" for r in some])
            axes.set(title=f"{mode}, {direction}, {some[0]['n_edges']} edges", ylim=(-0.6, len(some) - 0.4))
            axes.set_xlabel("faithfulness")
        grid[0].legend(frameon=False, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.12), ncols=4)
    return figure


def transfer_matrices(cells: Rows) -> Figure:
    """Faithfulness of circuits (rows) on data sets (columns), with 95 % intervals, a panel for each way to run them."""
    keys = list(dict.fromkeys((c["mode"], c["direction"]) for c in cells))
    circuits = list(dict.fromkeys(c["circuit"] for c in cells))
    data = list(dict.fromkeys(c["data"] for c in cells))
    with style(STYLE):
        width = 1.7 + 0.62 * len(data)
        figure, grid = panels(len(keys), width=width, height=1.9 + 0.42 * len(circuits), columns=2 if width < 5 else 1)
        for axes, (mode, direction) in zip(grid, keys, strict=True):
            values = np.full((len(circuits), len(data)), np.nan)
            for cell in cells:
                if (cell["mode"], cell["direction"]) != (mode, direction) or cell["faithfulness"] is None:
                    continue
                at = circuits.index(cell["circuit"]), data.index(cell["data"])
                values[at] = cell["faithfulness"]
                colour = "white" if cell["faithfulness"] > 0.45 else INK
                axes.text(at[1], at[0] - 0.1, f"{cell['faithfulness']:.2f}", ha="center", va="center", color=colour)
                if cell["low"] is not None:
                    bounds = f"{cell['low']:.2f}–{cell['high']:.2f}"
                    axes.text(at[1], at[0] + 0.24, bounds, ha="center", va="center", color=colour, fontsize=5.5)
            heatmap(axes, values, -0.4)
            axes.set_xticks(range(len(data)), [name.replace(": ", ":\n") for name in data], rotation=45, ha="right")
            axes.set_yticks(range(len(circuits)), circuits)
            axes.set_title(f"{mode}, {direction}")
            axes.tick_params(labelsize=7, length=0)
            axes.spines[:].set_visible(False)
    return figure


def stability_figure(rows: Rows, methods: Rows) -> Figure:
    """Intervals of faithfulness over documents, and overlaps of re-discovered circuits."""
    modes = list(dict.fromkeys(r["mode"] for r in rows))
    with style(STYLE):
        figure, grid = panels(2, height=2.6)
        labels = [f"{r['mode']}, {r['direction']}" for r in rows]
        y = np.arange(len(rows))[::-1]
        middle = np.array([r["faithfulness"] for r in rows])
        errors = [middle - [r["low"] for r in rows], [r["high"] for r in rows] - middle]
        grid[0].errorbar(middle, y, xerr=np.abs(errors), fmt="o", color=FOUND, capsize=3)
        grid[0].axvline(rows[0]["target"], color=MUTED, linestyle=":", linewidth=0.8)
        grid[0].set_yticks(y, labels)
        grid[0].set(xlabel="faithfulness (95 % interval over documents)", ylim=(-0.6, len(rows) - 0.4), xlim=(0, 1.2))
        bars = [("resampled documents", "jaccard_found"), ("among themselves", "jaccard_pairwise"),
                ("other splits", "jaccard_splits")]  # fmt: skip
        others = list(dict.fromkeys(m["method"] for m in methods))
        names = [name for name, _ in bars] + others
        for index, mode in enumerate(modes):
            row = next(r for r in rows if r["mode"] == mode)
            values = [row[key] or 0 for _, key in bars]
            values += [
                next(m["jaccard"] for m in methods if (m["mode"], m["method"], m["selection"], m["by"]) ==
                     (mode, name, "top", "abs")) for name in others
            ]  # fmt: skip
            place = np.arange(len(names))[::-1] + (0.2 - 0.4 * index)
            grid[1].barh(place, values, height=0.36, color=(FOUND, CHANCE)[index % 2], label=mode)
        grid[1].set_yticks(np.arange(len(names))[::-1], names)
        grid[1].set(xlabel="overlap with the circuit (Jaccard)", xlim=(0, 1))
        grid[1].legend(frameon=False, fontsize=7.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def dissociation(rows: Rows) -> Figure:
    """What knocking the circuit out adds to the loss of each kind of text, beside random circuits of its size."""
    modes = list(dict.fromkeys(r["mode"] for r in rows))
    with style(STYLE):
        figure, grid = panels(len(modes), sharey=True)
        for axes, mode in zip(grid, modes, strict=True):
            some = [r for r in rows if r["mode"] == mode]
            x = np.arange(len(some))
            rise = np.array([r["rise"] for r in some])
            errors = np.abs([np.array([r[end] for r in some], dtype=float) - rise for end in ("low", "high")])
            axes.bar(x - 0.27, rise, 0.26, yerr=errors, capsize=2, color=FOUND, label="the circuit (95 % interval)")
            other = [r["ordinary_rise"] for r in some]
            axes.bar(x, other, 0.26, color="#2f8f6b", label="the circuit for ordinary text")
            chance = np.array([r["random_rise"] for r in some])
            above = np.array([r["random_q95"] for r in some]) - chance
            axes.bar(x + 0.27, chance, 0.26, yerr=[np.zeros(len(some)), np.maximum(above, 0)], capsize=2, color=CHANCE,
                     label="random circuits (to the 95th percentile)")  # fmt: skip
            axes.axhline(0, color=MUTED, linewidth=0.8)
            axes.set_xticks(x, [r["text"].replace(" random", "\nrandom").replace("not ", "not\n") for r in some])
            axes.set_title(f"{mode}, {some[0]['n_edges']} edges knocked out")
            axes.tick_params(axis="x", labelsize=8)
        grid[0].set_ylabel("added loss, nats a token")
        grid[0].legend(frameon=False, fontsize=7, loc="lower left", bbox_to_anchor=(0.0, 1.12), ncols=3)
    return figure


def recitation(rows: Rows) -> Figure:
    """Share of right tokens and of exact completions under each way to keep edges."""
    modes = list(dict.fromkeys(r["mode"] for r in rows))
    with style(STYLE):
        figure, grid = panels(len(modes), height=2.5, sharex=True)
        for axes, mode in zip(grid, modes, strict=True):
            some = [r for r in rows if r["mode"] == mode and r["copies"] is None]
            y = np.arange(len(some))[::-1]
            axes.barh(y + 0.19, [r["score"] for r in some], 0.36, color=FOUND, label="right tokens")
            axes.barh(y - 0.19, [r["extracted"] for r in some], 0.36, color=CHANCE, label="exact completions")
            axes.set_yticks(y, [r["run"] for r in some])
            axes.set(title=f"{mode}, {some[0]['n_passages']} passages", xlabel="share", xlim=(0, 1))
        grid[0].legend(frameon=False, fontsize=7.5, loc="lower right")
    return figure


def later_tokens(rows: Rows) -> Figure:
    """Faithfulness of the onset's circuit and of each delay's own, and the overlap of circuits between delays."""
    modes = list(dict.fromkeys(r["mode"] for r in rows))
    with style(STYLE):
        figure, grid = panels(2 * len(modes), height=2.7)
        for index, mode in enumerate(modes):
            some = [r for r in rows if r["mode"] == mode]
            curve, matrix = grid[2 * index : 2 * index + 2]
            delays = [r["delay"] for r in some]
            curve.plot(delays, [r["onset_faithfulness"] for r in some], "o-", color=FOUND, label="the onset's circuit")
            curve.plot(delays, [r["own_faithfulness"] for r in some], "s--", color=CHANCE, label="that token's own")
            curve.plot(delays, [r["overlap"][0] for r in some], "^:", color=MUTED, label="overlap with the onset's")
            curve.set(title=f"{mode}, {some[0]['n_edges']} edges", xlabel="tokens after the branch", ylim=(-0.1, 1.2))
            curve.set_ylabel("faithfulness, or Jaccard")
            curve.legend(frameon=False, fontsize=7)
            values = np.array([r["overlap"] for r in some])
            heatmap(matrix, values, 0.0)
            matrix.set_aspect("equal")
            for (i, j), value in np.ndenumerate(values):
                matrix.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7,
                            color="white" if value > 0.6 else INK)  # fmt: skip
            matrix.set_xticks(range(len(delays)), [f"+{d}" for d in delays])
            matrix.set_yticks(range(len(delays)), [f"+{d}" for d in delays])
            matrix.set_title("overlap of circuits (Jaccard)")
            matrix.spines[:].set_visible(False)
    return figure


def dose_figure(rows: Rows) -> Figure:
    """Mean metric with nothing, the circuit and everything, against copies."""
    modes = list(dict.fromkeys(r["mode"] for r in rows))
    with style(STYLE):
        figure, grid = panels(len(modes), height=2.5, sharey=True)
        for axes, mode in zip(grid, modes, strict=True):
            some = [r for r in rows if r["mode"] == mode]
            x = np.arange(len(some))
            for key, colour in (("everything", INK), ("circuit", FOUND), ("nothing", CHANCE)):
                axes.plot(x, [r[key] for r in some], "o-", color=colour, label=key)
            axes.set_xticks(x, [f"{r['copies']}\nn = {r['n_pairs']}" for r in some])
            axes.set(title=f"{mode}, {some[0]['n_edges']} edges", xlabel="copies in the corpus")
        grid[0].set_ylabel(f"mean {rows[0]['metric']}")
        grid[0].legend(frameon=False, fontsize=7.5)
    return figure
