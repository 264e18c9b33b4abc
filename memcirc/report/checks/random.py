"""What a page shows of the circuit beside random circuits of its size."""

from collections.abc import Iterator, Sequence

import numpy as np

from memcirc.report.claims import Answer, Claim
from memcirc.report.evidence import Evidence
from memcirc.report.figures import CHANCE, FOUND, INK, panels, styled
from memcirc.report.numbers import p_value
from memcirc.report.plotting import Figure
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View, one_plot
from memcirc.verification.random_circuits import RandomComparison

CHANCE_Q95 = 0.2
CHOICE_LEFT = 0.5
LEVEL = 0.05


@styled
def random_comparison(rows: Sequence[RandomComparison]) -> Figure:
    """Where random circuits of each kind lie, beside the found one."""
    keys = list(dict.fromkeys((r.mode, r.direction) for r in rows))
    figure, grid = panels(len(keys), height=2.2, sharex=True)
    for axes, (mode, direction) in zip(grid, keys, strict=True):
        some = [r for r in rows if (r.mode, r.direction) == (mode, direction)]
        y = np.arange(len(some))[::-1]
        axes.axvline(some[0].found, color=FOUND, linewidth=2, label="found circuit")
        axes.hlines(y, [r.q05 for r in some], [r.q95 for r in some], color=CHANCE, linewidth=5, alpha=0.45,
                    label="random circuits, 5 to 95 %")  # fmt: skip
        axes.plot([r.median for r in some], y, "o", color=CHANCE, markersize=5, label="median")
        axes.plot([r.highest for r in some], y, "|", color=INK, markersize=9, label="highest")
        axes.set_yticks(y, [f"{r.kind} ({r.overlap:.0%} shared)" for r in some])
        axes.set(title=f"{mode}, {direction}, {some[0].n_edges} edges", ylim=(-0.6, len(some) - 0.4))
        axes.set_xlabel("faithfulness")
    grid[0].legend(frameon=False, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.12), ncols=4)
    return figure


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    rows = evidence.of(RandomComparison)
    yield from (_uniform(label, row, evidence) for row in rows if row.kind == "uniform")
    structured = [row for row in rows if row.kind != "uniform" and row.direction == rows[0].direction]
    if structured:
        yield _structured(label, structured, evidence)


def _uniform(label: str, row: RandomComparison, evidence: Evidence) -> Finding:
    beyond = evidence.unusual(row.way, row.found, row.mean, row.q95)
    return Finding(
        f"{label}, {row.direction}: of {row.n_circuits} uniform random circuits of that size the mean {row.way.verb} "
        f"{row.mean:.2f}, the 95th percentile {row.q95:.2f} (threshold: below {CHANCE_Q95}); "
        f"{row.disconnected:.0%} are disconnected and could keep nothing in tree mode; p = "
        f"{p_value(row.p_value)}{beyond}.",
        row.q95 < CHANCE_Q95 and not beyond,
    )


def _structured(label: str, rows: Sequence[RandomComparison], evidence: Evidence) -> Finding:
    """Random circuits that are built as the found one is; a kind that leaves little choice tells nothing."""
    telling = _telling(rows)
    parts = [f"{r.kind} {r.mean:.2f} (95th percentile {r.q95:.2f}, p {p_value(r.p_value)})" for r in telling]
    rest = [f"{r.kind} ones share {r.overlap:.0%} of its edges, which leaves little to chance" for r in rows
            if r not in telling]  # fmt: skip
    beside = ", ".join(parts) or "none that tells"
    text = f"{label}: it {rows[0].way.verb} {rows[0].found:.2f}; random circuits of its size: {beside}"
    beyond = evidence.unusual(rows[0].way, rows[0].found)
    return Finding(f"{text}{''.join(f'; {line}' for line in rest)}{beyond}.", _better(telling, beyond))


def _telling(rows: Sequence[RandomComparison]) -> list[RandomComparison]:
    """The comparisons that leave something to chance."""
    return [row for row in rows if row.overlap <= CHOICE_LEFT]


def _better(telling: Sequence[RandomComparison], beyond: str) -> bool | None:
    """Whether the circuit is better than every kind of random circuits; None where none tells."""
    if not telling:
        return None
    return not beyond and all(row.p_value is not None and row.p_value <= LEVEL for row in telling)


def _beyond_chance(circuit: Evidence) -> Answer | None:
    rows = circuit.own(RandomComparison)
    structured = [row for row in rows if row.kind != "uniform"]
    if not rows:
        return None
    telling = _telling(structured or rows)
    if not telling:
        return Answer(None, "no choice left", "random circuits that are built as it is have mostly its own edges")
    best = max(telling, key=lambda row: row.highest)
    drawn = sum(row.n_circuits for row in telling)
    holds = _better(telling, circuit.unusual(best.way, best.found))
    all_tell = len(telling) == len(structured or rows)
    of_kinds = "" if all_tell else ", of kinds that on average share at most half of its edges,"
    return Answer(
        holds, f"best random {best.highest:.2f}",
        f"the best of {drawn} random circuits of its size{of_kinds} {best.highest:.2f}",
    )  # fmt: skip


CLAIMS = (
    Claim(
        "beyond chance",
        "It does more than 95 % of the random circuits of its size that are built as it is (connected, matched, "
        "shuffled; uniform ones where there are no others). A kind that on average shares more than half of its edges "
        "leaves little to chance and is not counted.",
        _beyond_chance,
    ),
)
TABLES = (
    Table(
        RandomComparison, "Against random circuits of the same size",
        ("mode", "kind", "direction", "n_edges", "n_circuits", "found", "mean", "std", "median", "q95", "highest",
         "disconnected", "overlap", "quantile", "p_value"),
        "found: the circuit; uniform: as many edges at random; connected: unions of random paths; matched: as many "
        "edges between each two layers and types; shuffled: the found scores permuted within each destination; "
        "disconnected: the share without any path from input to logits, which keeps nothing in tree mode; overlap: "
        "mean share of the found edges that a random circuit has as well, 1 where its kind leaves no choice; "
        "quantile: share of random circuits below the found one; p value: (1 + those at least as good) / (1 + all).",
    ),
)  # fmt: skip
CAPTION = "The circuit beside random circuits of its size; shared: mean share of its edges that they have as well."
VIEW = View(TABLES, one_plot(RandomComparison, "random", random_comparison, CAPTION), _findings, CLAIMS)
