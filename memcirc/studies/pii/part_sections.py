"""Sections about how places work together: paths, sets of components, passages of several frequencies."""

from pathlib import Path

import numpy as np

from memcirc.report import figures
from memcirc.report.drawing import draw
from memcirc.report.sections import Section, TableBlock
from memcirc.studies.blocks import Axes, Column, entries, heat_map, table
from memcirc.studies.pii.results import NATS, PiiResults, in_words


def part_sections(out: Path, results: PiiResults) -> list[Section]:
    """The sections of this module, in their order on the page."""
    return [_paths(out, results), _sets(out, results), *_copies(out, results)]


def _paths(out: Path, results: PiiResults) -> Section:
    axes = Axes("receiver", "sender", "nats", results.path_nodes, results.path_nodes)
    panels = {"sender → receiver → logits": results.path_matrix}
    drawing = heat_map(
        out,
        "paths",
        panels,
        axes,
        "Paths over one node, between the components with the strongest effects; on the "
        "diagonal, straight to the logits.",
    )
    return Section(
        "Paths",
        ("Path patching along named edges: the first node holds the target's output, each next node reads that "
         "change and nothing else (with the control's weights), everything outside the path stays as it was.",),
        drawings=(drawing,),
        tables=(entries(results.paths.items(), "path", "effect", "One road and its parts"),),
    )  # fmt: skip


def _sets(out: Path, results: PiiResults) -> Section:
    r = results.restored
    curve = {"restored": (list(range(1, len(r.curve) + 1)), list(r.curve))}
    drawn = figures.lines(curve, "components patched together", "nats")
    grown: dict[str, Column] = {
        "step": lambda i: i + 1,
        "added": lambda i: in_words(results, r.order[i]),
        "effect": r.curve.__getitem__,
    }
    pairs: dict[str, Column] = {
        "first": lambda pair: in_words(results, pair.first), "second": lambda pair: in_words(results, pair.second),
        "effect of the first": "first_effect", "of the second": "second_effect",
        "together": "together", "interaction": "interaction",
    }  # fmt: skip
    kept = f"Left after taking out what is not needed: {in_words(results, *r.labels)} ({r.effect:+.2f} nats)."
    return Section(
        "Sets of components",
        ("Grown greedily from embedding, attention and MLP outputs until nine tenths of what the last residual "
         "restores are back. Greedy sets need not be the smallest of all.",),
        drawings=(draw(out, "restoring", drawn, "Effect of the growing set."),),
        tables=(
            table(range(len(r.order)), grown, "The smallest restoring set", kept),
            table(results.pairs, pairs, "Do two add up?", "Interaction: together minus the sum of both.")
            if results.pairs else TableBlock(("first",), []),
        ),
    )  # fmt: skip


def _copies(out: Path, results: PiiResults) -> list[Section]:
    if not {"10", "20"} <= set(results.copies):
        return []
    ten, twenty = (np.array(results.copies[name]) for name in ("10", "20"))
    drawn = figures.points(
        {"each point a site": {"sites": (ten.tolist(), twenty.tolist())}}, "10 copies", "20 copies", diagonal=True
    )
    columns: dict[str, Column] = {
        "copies": str, "mean effect over sites": lambda name: float(np.mean(results.copies[name])),
        "highest": lambda name: max(results.copies[name]),
    }  # fmt: skip
    agreement = float(np.corrcoef(ten, twenty)[0, 1])
    return [
        Section(
            "10 copies against 20",
            (f"The same sites, passages of 10 and of 20 copies: correlation {agreement:.3f}, mean effect "
             f"{ten.mean():+.2f} and {twenty.mean():+.2f} nats.",),
            drawings=(draw(out, "copies", drawn, f"Target into control: {NATS}."),),
            tables=(table(results.copies, columns),),
        )
    ]  # fmt: skip
