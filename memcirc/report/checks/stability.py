"""What a page shows of the circuit over documents and splits."""

from collections.abc import Iterator, Sequence

import numpy as np

from memcirc.report.claims import Answer, Claim
from memcirc.report.evidence import Evidence
from memcirc.report.figures import CHANCE, FOUND, MUTED, panels, styled
from memcirc.report.plotting import Figure
from memcirc.report.sections import Finding
from memcirc.report.view import Plot, Table, View
from memcirc.verification.method_overlaps import MethodOverlap
from memcirc.verification.stability import Stability

STABLE = 0.5


def _figures(evidence: Evidence) -> Iterator[Plot]:
    rows = evidence.of(Stability)
    if rows:
        caption = (
            "Left: faithfulness with its 95 % bootstrap interval over documents. Right: how much of the circuit is "
            "found again from resampled training documents, from other splits, by other methods."
        )
        yield Plot("stability", stability_figure(rows, evidence.of(MethodOverlap)), caption)


@styled
def stability_figure(rows: Sequence[Stability], methods: Sequence[MethodOverlap]) -> Figure:
    """Intervals of faithfulness over documents, and overlaps of re-discovered circuits."""
    modes = list(dict.fromkeys(r.mode for r in rows))
    figure, grid = panels(2, height=2.6)
    labels = [f"{r.mode}, {r.direction}" for r in rows]
    y = np.arange(len(rows))[::-1]
    middle = np.array([r.faithfulness for r in rows])
    errors = [middle - [r.low for r in rows], [r.high for r in rows] - middle]
    grid[0].errorbar(middle, y, xerr=np.abs(errors), fmt="o", color=FOUND, capsize=3)
    grid[0].axvline(rows[0].target, color=MUTED, linestyle=":", linewidth=0.8)
    grid[0].set_yticks(y, labels)
    grid[0].set(xlabel="faithfulness (95 % interval over documents)", ylim=(-0.6, len(rows) - 0.4), xlim=(0, 1.2))
    others = list(dict.fromkeys(m.method for m in methods))
    names = ["resampled documents", "among themselves", "other splits", *others]
    for index, mode in enumerate(modes):
        row = next(r for r in rows if r.mode == mode)
        values = [row.jaccard_found, row.jaccard_pairwise or 0, row.jaccard_splits or 0]
        values += [
            next(m.jaccard for m in methods if (m.mode, m.method, m.selection, m.by) ==
                 (mode, name, "top", "abs")) for name in others
        ]  # fmt: skip
        place = np.arange(len(names))[::-1] + (0.2 - 0.4 * index)
        grid[1].barh(place, values, height=0.36, color=(FOUND, CHANCE)[index % 2], label=mode)
    grid[1].set_yticks(np.arange(len(names))[::-1], names)
    grid[1].set(xlabel="overlap with the circuit (Jaccard)", xlim=(0, 1))
    grid[1].legend(frameon=False, fontsize=7.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def _own(evidence: Evidence) -> Stability | None:
    """The line in the direction in which the circuit was found, or the first."""
    return next(iter((*evidence.own(Stability), *evidence.of(Stability))), None)


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    row = _own(evidence)
    if row is None:
        return
    beyond = evidence.unusual(row.way, row.faithfulness, row.low, row.high)
    splits = "" if row.jaccard_splits is None else f", from other splits {row.jaccard_splits:.2f}"
    size = "" if row.smallest_low is None else (
        f"; the size that reaches the target lies between {row.smallest_low} and {row.smallest_high} "
        "edges"
    )  # fmt: skip
    yield Finding(
        f"{label}: over documents its faithfulness lies between {row.low:.2f} and {row.high:.2f}{beyond}{size}; "
        f"circuits re-discovered from resampled documents overlap with it by {row.jaccard_found:.2f} (Jaccard; "
        f"threshold: at least {STABLE}){splits}, and {row.core} of its {row.n_edges} edges are in all of them.",
        row.jaccard_found >= STABLE,
    )


def _stable(circuit: Evidence) -> Answer | None:
    row = _own(circuit)
    if row is None:
        return None
    return Answer(
        row.jaccard_found >= STABLE,
        f"overlap {row.jaccard_found:.2f}",
        f"found again from resampled documents it overlaps with itself by {row.jaccard_found:.2f}, and {row.core} of "
        f"its {row.n_edges} edges are found every time",
    )


CLAIMS = (
    Claim(
        "stable",
        f"Found again from other draws of the documents, it shares at least {STABLE} of its edges (Jaccard overlap).",
        _stable,
        of_test_pairs=False,
    ),
)


TABLES = (
    Table(
        Stability, "Stability over documents, resamples and splits",
        ("mode", "direction", "n_edges", "core", "jaccard_found", "jaccard_lowest", "jaccard_pairwise",
         "jaccard_splits", "faithfulness", "low", "high", "smallest", "smallest_low", "smallest_high", "n_documents"),
        "low, high: 95 % bootstrap interval over documents; smallest: first size on a grid that reaches the target, "
        "with its interval; jaccard: overlap of circuits re-discovered from resampled training documents with the "
        "circuit (mean, lowest) and among themselves, and of those from other training splits; core: edges in every "
        "one of them.",
    ),
)  # fmt: skip
VIEW = View(TABLES, _figures, _findings, CLAIMS)
