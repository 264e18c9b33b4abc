"""What a page shows of faithfulness over sizes: the curves, and their areas."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memcirc.interventions import ABLATIONS
from memcirc.report.evidence import Evidence
from memcirc.report.figures import CHANCE, FOUND, INK, MUTED, PALETTE, panels, styled
from memcirc.report.plotting import Figure
from memcirc.report.view import Plot, Table, View
from memcirc.verification.curves import Curve


def _figures(evidence: Evidence) -> Iterator[Plot]:
    curves = evidence.of(Curve)
    headline = [curve for curve in curves if curve.ablation == evidence.ablation]
    sizes = {mode: circuit.n_edges for mode, circuit in evidence.circuits.items()}
    target = next(iter(evidence.circuits.values())).target
    if headline:
        yield Plot(
            "curves",
            faithfulness_curves(headline, sizes, target),
            "Faithfulness on test pairs of the ranking's first n edges, with its 95 % interval over documents; "
            "dashed, in the circuit's own direction: the mean of uniform random circuits of n edges. Vertical line: "
            f"the minimal circuit's size, chosen on validation; dotted: its target {target}.",
        )
    if len(headline) < len(curves):
        caption = "The same prefixes under every ablation, each with its own ends."
        yield Plot("ablations", ablation_curves(curves, target), caption)


@styled
def faithfulness_curves(curves: Sequence[Curve], sizes: Mapping[str, int], target: float) -> Figure:
    """Faithfulness of the ranking's prefixes against random circuits, a panel for each mode and direction."""
    figure = Figure(figsize=(8.6, 2.9 * ((len(curves) + 1) // 2)), layout="constrained")
    grid = figure.subplots((len(curves) + 1) // 2, 2, squeeze=False, sharey=True)
    for axes in grid.flat[len(curves) :]:
        axes.set_visible(False)
    for axes, curve in zip(grid.flat, curves, strict=False):
        n = curve.sizes
        axes.axhline(target, color=MUTED, linewidth=0.8, linestyle=":")
        axes.plot(n, curve.faithfulness, color=FOUND, marker="o", markersize=3, label="found ranking, test pairs")
        if curve.low:
            interval = {"color": FOUND, "alpha": 0.15, "label": "its 95 % interval"}
            axes.fill_between(n, curve.low, curve.high, linewidth=0, **interval)
        if curve.random_mean:
            axes.plot(n, curve.random_mean, color=CHANCE, linestyle="--", label="random circuits, mean")
        if curve.random_q95:
            band = {"color": CHANCE, "alpha": 0.2, "label": "up to their 95th percentile"}
            axes.fill_between(n, curve.random_mean, curve.random_q95, **band)
        size = sizes.get(curve.mode)
        if size:
            axes.axvline(size, color=INK, linewidth=0.8)
            axes.annotate(
                f"{size} edges",
                (size, 0.02),
                xycoords=("data", "axes fraction"),
                xytext=(4, 0),
                textcoords="offset points",
            )
        axes.set(xscale="log", title=f"{curve.mode}, {curve.ablation}, {curve.direction}", ylim=(-0.35, 1.35))
        axes.set_xlabel("edges in the circuit")
    grid[0][0].set_ylabel("faithfulness")
    grid[0][0].legend(frameon=False, loc="upper left", fontsize=7.5)
    return figure


@styled
def ablation_curves(curves: Sequence[Curve], target: float) -> Figure:
    """Faithfulness of the ranking's prefixes under every ablation, a panel for each mode and direction."""
    colours = dict(zip(ABLATIONS, PALETTE, strict=True))
    keys = list(dict.fromkeys((c.mode, c.direction) for c in curves))
    figure, grid = panels(len(keys), sharey=True)
    for axes, (mode, direction) in zip(grid, keys, strict=True):
        axes.axhline(target, color=MUTED, linewidth=0.8, linestyle=":")
        for curve in curves:
            if (curve.mode, curve.direction) == (mode, direction):
                colour = colours[curve.ablation]
                axes.plot(curve.sizes, curve.faithfulness, color=colour, label=curve.ablation)
        axes.set(xscale="log", title=f"{mode}, {direction}", ylim=(-0.5, 1.6), xlabel="edges in the circuit")
    grid[0].set_ylabel("faithfulness")
    grid[0].legend(frameon=False, fontsize=7.5, loc="upper left")
    return figure


def _areas(curve: Curve) -> list[dict[str, Any]]:
    values = zip(curve.mib_fractions, curve.mib_faithfulness, strict=True)
    shares = {f"f_at_{share:.1%}".replace(".0%", "%"): value for share, value in values}
    sizes = {f"n_at_{target}": size for target, size in curve.smallest.items()}
    return [{**curve.mib_areas, **sizes, **shares}]


TABLES = (
    Table(
        Curve, "Areas of the whole curves, sizes and values",
        ("mode", "ablation", "direction", "cpr", "cmd", "log_auc", "n_at_0.85", "n_at_0.9", "n_at_0.95", "f_at_0.5%",
         "f_at_1%", "f_at_2%", "f_at_5%", "f_at_10%"),
        "MIB's sizes: cpr (integral of faithfulness over the share of edges), cmd (integral of its distance from "
        "1), and log_auc, its mean over the logarithm of size; n_at: smallest size that reaches a target on these "
        "pairs; f_at: faithfulness with that share of the edges.",
        _areas,
    ),
)  # fmt: skip
VIEW = View(TABLES, _figures)
