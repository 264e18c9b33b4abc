"""The section about the circuits of the injected records, and what the page finds of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from memcirc.report.drawing import draw
from memcirc.report.figures import CHANCE, FOUND, MUTED, bars, styled
from memcirc.report.numbers import number
from memcirc.report.plotting import Figure
from memcirc.report.sections import Finding, Section
from memcirc.statistics import FEWEST_GROUPS
from memcirc.studies.blocks import Column, table
from memcirc.studies.pii.circuit_results import FoundCircuit, InjectedCircuits, NoCircuits
from memcirc.verification.removal import FOUND_ON, MEMORIZED, Removal, specific

TITLE = "The circuit of the injected records"
MOST_NAMED = 20
SHOWN = {MEMORIZED: "test records", FOUND_ON: "records it was found on"}
SIZES: dict[str, Column] = {
    "circuit": lambda row: row[0],
    "edges": lambda row: len(row[1].edges),
    "on validation": lambda row: row[1].validation,
    "on test": lambda row: row[1].test.faithfulness,
    "low": lambda row: row[1].test.low,
    "high": lambda row: row[1].test.high,
    "test records": lambda row: row[1].test.n_pairs,
}
REMOVED: dict[str, Column] = {
    "text": lambda row: shown(row.text), "records": "n_passages", "intact": "intact", "removed": "removed",
    "everything": "everything", "added": "added", "low": "low", "high": "high", "random added": "random_added",
}  # fmt: skip
SAID: dict[str, Column] = {
    "text": lambda row: shown(row.text), "records": "n_records", "recited before": "before", "recited after": "after",
    "unchanged": "unchanged", "unchanged, everything taken out": "unchanged_everything",
}  # fmt: skip
ANEW: dict[str, Column] = {
    "split": "seed", "sufficient edges": "sufficient", "keep": "kept", "necessary edges": "necessary",
    "removal leaves": "left", "shared with the first": "shared",
}  # fmt: skip
GROUPS: dict[str, Column] = {
    "group": lambda row: f"{row.by} {row.group}", "records": "n_records", "of these found on": "n_found_on",
    "the sufficient circuit keeps": "kept", "left without the necessary one": "left",
}  # fmt: skip
PLACES: dict[str, Column] = {
    "edges": "by", "place": "place", "of all": "n_edges", "sufficient": "sufficient", "necessary": "necessary"
}  # fmt: skip


def shown(text: str) -> str:
    """A kind of text as the page calls it."""
    return SHOWN.get(text, text)


def circuit_section(out: Path, circuits: InjectedCircuits | NoCircuits) -> Section:
    """Figures and tables, or why there are none."""
    if isinstance(circuits, NoCircuits):
        return Section(TITLE, (f"Not found: {circuits.reason}.",))
    both = [("sufficient", circuits.sufficient), ("necessary", circuits.necessary)]
    n = circuits.n_records
    warned = () if circuits.warning is None else (f"WARNING: {circuits.warning}.",)
    return Section(
        TITLE,
        (*warned,
         "With the control as the target's twin, an edge can be cut without breaking the language: it carries what it "
         f"carries in the control. Of the {circuits.n_edges:,} edges between components the smallest sufficient "
         f"circuit is to keep {circuits.target:.0%} of what the target knows better (the log-probability of the "
         "value) while all other edges carry the control's values; taking the smallest necessary one out is to leave "
         f"at most {1 - circuits.target:.0%}.",
         f"Edges were ranked on {n['train']} records, sizes chosen on {n['validation']}, everything measured on "
         f"{n['test']} others; no person is in two of these parts."
         + " The parts are small: other splits stand below." * (n["validation"] < FEWEST_GROUPS),
         *_named(circuits.necessary)),
        drawings=(
            draw(out, "circuit_sizes", sizes_figure(circuits),
                 f"What the ranking's first n edges keep, and what their removal leaves, on the {n['test']} test "
                 "records. Vertical: the sizes chosen on validation; dotted: what they had to reach there."),
            draw(out, "circuit_removal", _added_figure(circuits.removal),
                 "The necessary circuit taken out by the control's values: the loss that this adds to each kind of "
                 "text, with its 95 % interval."),
        ),
        tables=(
            table(both, SIZES, "Both circuits",
                  "Faithfulness: what the sufficient circuit keeps, what goes with the necessary one; 95 % bootstrap "
                  "interval over people (a dash with too few of them)."),
            table(circuits.removal, REMOVED, "What else is lost with the necessary circuit",
                  "Loss of the true continuation in nats a token: of the target (intact), with the necessary circuit "
                  "carrying the control's values (removed), with every edge doing so (everything); added: removed less "
                  "intact, with its 95 % bootstrap interval; random added: by connected random circuits of its size."),
            table(circuits.suppression, SAID, "What is said freely without the necessary circuit",
                  "Greedy generation, the control's values at every token that is said: the share of records that go "
                  "on exactly as in truth, before and after, and of those that go on as before, token for token; last, "
                  "of those that do so where every edge carries the control's values."),
            table(circuits.groups, GROUPS, "By frequency and by type",
                  "All injected records, recited or not, each group by its own ends; what the circuits were not found "
                  "on is of test, or not recited."),
            table(circuits.other_splits, ANEW, "Found anew on other splits",
                  "The same road with other people in the three parts; shared: Jaccard overlap of the necessary "
                  "circuit with the first one."),
            table(circuits.places, PLACES, "Where the circuits sit", "Edges by the layer that writes, by the layer "
                  "that reads, and by the kinds of both ends."),
        ),
    )  # fmt: skip


def _named(necessary: FoundCircuit) -> list[str]:
    """The edges by name, where they are few."""
    return [f"Necessary: {', '.join(necessary.edges)}."] if len(necessary.edges) <= MOST_NAMED else []


def _added_figure(rows: Sequence[Removal]) -> Figure:
    """What the necessary circuit's removal adds to each kind of text, with its interval where there is one."""
    bounds = {
        shown(row.text): (row.added, row.added) if row.low is None or row.high is None else (row.low, row.high)
        for row in rows
    }  # fmt: skip
    return bars({shown(row.text): row.added for row in rows}, "added loss, nats a token", bounds)


@styled
def sizes_figure(circuits: InjectedCircuits) -> Figure:
    """What the first n edges of the ranking keep, and what their removal leaves, over n."""
    figure = Figure(figsize=(6.4, 3.1))
    axes = figure.subplots()
    share = circuits.target
    kept, lost = (np.array(list(c.curve.values())) for c in (circuits.sufficient, circuits.necessary))
    for name, found, colour, values, goal, height in (
        ("the first n edges keep", circuits.sufficient, FOUND, kept, share, 0.3),
        ("their removal leaves", circuits.necessary, CHANCE, 1 - lost, 1 - share, 0.93),
    ):
        axes.plot(list(found.curve), values, color=colour, marker="o", markersize=3, label=name)
        axes.axvline(len(found.edges), color=colour, linewidth=0.8)
        axes.axhline(goal, color=MUTED, linewidth=0.8, linestyle=":")
        place = {"xytext": (4, 0), "textcoords": "offset points", "color": colour}
        size = len(found.edges)
        axes.annotate(f"{size:,} edge{'s' * (size != 1)}", (len(found.edges), height), **place)
    axes.set_xscale("symlog", linthresh=1)
    axes.set(xlabel="edges", ylabel="share of what the target knows better", xlim=(0, 1.1 * circuits.n_edges))
    axes.legend(frameon=False, fontsize=7.5, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


def _span(sizes: Sequence[int]) -> str:
    return f"{min(sizes):,} to {max(sizes):,}"


def circuit_finding(circuits: InjectedCircuits | NoCircuits) -> Finding:
    """Sizes, what goes with the necessary circuit, and the most that this costs; it holds where the removal is specific
    (:func:`memcirc.verification.removal.specific`), and says nothing with too few records for an interval or with no
    other text."""
    if isinstance(circuits, NoCircuits):
        return Finding(f"No circuit of the injected records: {circuits.reason}.")
    own = next(row for row in circuits.removal if row.text == MEMORIZED)
    said = next(row for row in circuits.suppression if row.text == MEMORIZED)
    others = [row for row in circuits.removal if row.text not in SHOWN]
    changed = [row for row in circuits.suppression if row.text not in SHOWN]
    sufficient, necessary = circuits.sufficient, circuits.necessary
    cost = "; there is no other text to say what else this costs"
    if others:
        dearest, least = max(others, key=lambda r: abs(r.added)), min(changed, key=lambda r: r.unchanged)
        cost = (
            f"; elsewhere this adds at most {dearest.added:+.3f} nats a token ({dearest.text}), and of what is said "
            f"freely there up to {1 - least.unchanged:.0%} changes ({least.text}; with every edge taken out "
            f"{1 - least.unchanged_everything:.0%})"
        )
    anew = circuits.other_splits
    return Finding(
        f"{len(sufficient.edges):,} of {circuits.n_edges:,} edges (found anew on other splits: "
        f"{_span([split.sufficient for split in anew])}) keep {number(sufficient.test.faithfulness)} of what the "
        f"target knows better about {own.n_passages} records that they were not found on, and {len(necessary.edges):,} "
        f"({_span([split.necessary for split in anew])}) {'is' if len(necessary.edges) == 1 else 'are'} necessary: "
        f"with the control's values there {number(necessary.left)} is left, the loss of the records rises by "
        f"{own.added:.2f} nats a token, and {said.after:.0%} of them are still recited freely ({said.before:.0%} "
        f"before){cost}.",
        specific(circuits.removal) if others and own.low is not None else None,
    )
