"""The page of a sweep: its finding in a sentence, and heat maps where its cells are layers x something, else bars."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from memcirc.patching.result import Sweep
from memcirc.report.drawing import Drawing, draw
from memcirc.report.figures import bars
from memcirc.report.sections import Finding, Section, TableBlock, write_page
from memcirc.studies.blocks import Axes, Column, heat_map, table
from memcirc.studies.sweep.places import Swept
from memcirc.studies.words import part

TOP, LONGEST, BARS = 12, 60, 24
TITLE = "Which places move the answer? Activation patching, a sweep"
NOTABLE = 0.1
AXES = {"pos": "position", "head": "head"}
DIRECTIONS = {"denoise": "denoising", "noise": "noising"}


def write_sweep_page(out: Path, swept: Swept, statement: Mapping[str, Any]) -> Path:
    """Write the page into ``out`` and return its path."""
    pairs, config = swept.pairs, swept.config
    introduction = (
        f"{_counted(len(pairs))} of prompts. What one place holds in one run is written into the other run, and "
        f"{_measure(config.metric)} says how far the answer follows"
        + (
            ": 0 is the run that is written into (the place moves nothing), 1 the run whose values are written (it "
            "moves everything)."
            if config.normalize
            else "."
        ),
    )
    sections = [
        Section("The first pair, up to where it is read", shown=_shown(swept)),
        Section(
            f"Sweep: {_sites(swept)}, {DIRECTIONS[config.direction]}", drawings=tuple(_drawings(out, swept)),
            tables=(_strongest(swept),),
        ),
    ]  # fmt: skip
    return write_page(out, TITLE, introduction, _findings(swept), sections, statement)


def _sites(swept: Swept) -> str:
    """A named sweep, or how many places were named."""
    names = swept.config.sites.split(",")
    return names[0] if len(names) == 1 else f"{len(names)} places"


def _measure(metric: str) -> str:
    return "the logit difference (answer minus wrong answer)" if metric == "logit_diff" else f"the measure {metric}"


def _counted(n: int) -> str:
    return "One pair" if n == 1 else f"{n} pairs"


def _findings(swept: Swept) -> list[Finding]:
    config, sweep = swept.config, swept.sweep
    low, high = sweep.ends[config.metric]
    into = "corrupt" if config.direction == "denoise" else "clean"
    return [
        Finding(_strongest_place(swept)),
        Finding(
            f"{_measure(config.metric).capitalize()}: {low:.3f} on the {into} run that is written into, {high:.3f} on "
            "the source run."
        ),
        Finding(
            f"Self-patch: writing what was there changes a run by at most {sweep.self_patch:.0e} of its size.", True
        ),
        *(Finding(note) for note in sweep.notes),
    ]


def _shown(swept: Swept) -> tuple[str, str]:
    """The first pair, as text or ids."""
    model, first = swept.model, swept.pairs[0]
    end = first.read_at + 1
    return (
        f"clean    {model.decode(first.clean_ids[:end])} → {model.decode(first.answer_ids)}",
        f"corrupt  {model.decode(first.corrupt_ids[:end])} → {model.decode(first.wrong_answer_ids)}",
    )


def _strongest_place(swept: Swept) -> str:
    """What was found, in one sentence."""
    found, config = swept.places, swept.config
    if not found:
        return f"No place has an effect that can be measured, of {len(swept.sweep.patches)}."
    best, n = found[0], len(found)
    span = f" (95 % interval {best.low:.2f} to {best.high:.2f})" if swept.documents > 1 else ""
    source = "corrupt" if config.direction == "noise" else "clean"
    if not config.normalize:
        return (
            f"Of {n} places the {best.words} moves {_measure(config.metric)} furthest: from {best.base:.2f} to "
            f"{best.effect:.2f}{span}."
        )
    many = sum(abs(one.effect) >= NOTABLE for one in found)
    return (
        f"Of {n} places the {best.words} moves the answer furthest: {best.effect:.2f} of the way to the {source} "
        f"run{span}; {many} move it by {NOTABLE} or more."
    )


def _strongest(swept: Swept) -> TableBlock:
    """The patches that move the metric furthest."""
    columns: dict[str, Column] = {
        "place": "words", "hook": "hook", "effect": "effect", "low": "low", "high": "high", "n": "n",
    }  # fmt: skip
    if not swept.config.normalize:
        columns["base run"] = "base"
    return table(
        swept.places[:TOP], columns, "The strongest",
        "n: pairs that have the place; effect, ends and interval (bootstrap, 95 %) are over these.",
    )  # fmt: skip


def _drawings(out: Path, swept: Swept) -> list[Drawing]:
    """Heat maps of one or several layers x something; bars of the strongest where the sweep has no such axes, or too
    many cells."""
    config, sweep = swept.config, swept.sweep
    axes, array = list(sweep.axes), sweep.matrix(config.metric)
    if "layer" not in axes or array.ndim - ("kind" in axes) > 3:
        return _bars(out, swept)
    panels = _panels(sweep, array, config.sites)
    other = "pos" if "pos" in axes else "head"
    labels = swept.positions if other == "pos" else ()
    value = _value(swept)
    fewest, n = int(sweep.counts(config.metric).min()), len(swept.pairs)
    some = f" A cell is the mean over the pairs that have it, {fewest} to {n}." if fewest < n else ""
    shown = dict(list(panels.items())[:LONGEST])
    caption = f"{config.sites}, {DIRECTIONS[config.direction]}.{some}"
    return [heat_map(out, "sweep", shown, Axes(AXES[other], "layer", value, labels), caption)]


def _bars(out: Path, swept: Swept) -> list[Drawing]:
    """The strongest places as bars with their intervals; nothing where no place has an effect."""
    shown = swept.places[:BARS]
    if not shown:
        return []
    spans = {one.words: (one.low, one.high) for one in shown} if swept.documents > 1 else None
    figure = bars({one.words: one.effect for one in shown}, _value(swept), spans)
    n = len(swept.sweep.patches)
    some = f"The {len(shown)} strongest of {n} places" if len(shown) < n else "All places"
    spread = ", with 95 % intervals over documents" if swept.documents > 1 else ""
    caption = f"{some}, {DIRECTIONS[swept.config.direction]}{spread}."
    return [draw(out, "sweep", figure, caption)]


def _value(swept: Swept) -> str:
    """What is drawn, in words."""
    return "effect (0: none, 1: the whole answer)" if swept.config.normalize else swept.config.metric


def _panels(sweep: Sweep, array: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """Matrices of layers x positions or heads: of each kind, and where both are axes of each head."""
    stacked = {part(name): array}
    if "kind" in sweep.axes:
        names = {cell[0]: patch.sites[0].about.swept for cell, patch in zip(sweep.cells, sweep.patches, strict=True)}
        stacked = {part(names[i]): matrix for i, matrix in enumerate(array)}
    axes = [axis for axis in sweep.axes if axis != "kind"]
    panels: dict[str, np.ndarray] = {}
    for title, matrix in stacked.items():
        if matrix.ndim == 2:
            panels[title] = matrix
            continue
        head = axes.index("head")
        panels |= {f"{title}, head {h}": matrix.take(h, axis=head) for h in range(matrix.shape[head])}
    return panels
