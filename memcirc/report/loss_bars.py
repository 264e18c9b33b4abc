"""The bars of what taking a circuit out adds to the loss of each kind of text, beside other things taken out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from memcirc.report.figures import FOUND, INK, MUTED, Numbers
from memcirc.report.plotting import Figure
from memcirc.report.view import by_mode
from memcirc.verification.record import AnyRecord

R = TypeVar("R", bound=AnyRecord)
WIDTH = 0.26


@dataclass(frozen=True)
class Bars:
    """Nats a token that taking one thing out adds to each kind of text; ``bounds``: the lowest and highest of each."""

    label: str
    colour: str
    added: Numbers
    bounds: Sequence[tuple[float | None, float | None]] | None = None


def of_the_circuit(added: Numbers, bounds: Sequence[tuple[float | None, float | None]]) -> Bars:
    """Those of the circuit itself."""
    return Bars("the circuit (95 % interval)", FOUND, added, bounds)


def loss_bars(
    rows: Sequence[R], bars_of: Callable[[Sequence[R]], Sequence[Bars]], labels_of: Callable[[R], str], title: str
) -> Figure:
    """Three bars for each kind of text, and a panel for each mode, whose title is a template of ``mode`` and the first
    of its rows."""
    figure, grid = by_mode(rows, 2.9, sharey=True)
    for axes, mode, some in grid:
        x = np.arange(len(some))
        for place, bars in zip((-0.27, 0.0, 0.27), bars_of(some), strict=True):
            added = np.asarray(bars.added, dtype=float)
            errors = None if bars.bounds is None else np.abs(np.array(bars.bounds, dtype=float).T - added)
            axes.bar(x + place, added, WIDTH, yerr=errors, capsize=2, ecolor=INK, color=bars.colour, label=bars.label)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set_xticks(x, [labels_of(row) for row in some])
        axes.set_title(title.format(mode=mode, row=some[0]))
        axes.tick_params(axis="x", labelsize=7)
    figure.axes[0].set_ylabel("added loss, nats a token")
    figure.axes[0].legend(frameon=False, fontsize=7, loc="lower left", bbox_to_anchor=(0.0, 1.12), ncols=3)
    return figure
