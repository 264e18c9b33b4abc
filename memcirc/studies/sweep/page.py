"""The page of a sweep: the strongest patches, and heat maps where its cells are layers x something."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memcirc.models import Model
from memcirc.pairs.record import Pairs
from memcirc.patching.result import Sweep
from memcirc.report.drawing import Drawing
from memcirc.report.sections import Finding, Section, TableBlock, write_page
from memcirc.studies.blocks import Axes, Column, heat_map, table
from memcirc.studies.sweep.config import SweepConfig

TOP, LONGEST = 12, 60


@dataclass(frozen=True, eq=False)
class Swept:
    """A sweep with what it was run on."""

    model: Model
    pairs: Pairs
    sweep: Sweep
    config: SweepConfig


def write_sweep_page(out: Path, swept: Swept, statement: Mapping[str, Any]) -> Path:
    """Write the page into ``out`` and return its path."""
    pairs, config = swept.pairs, swept.config
    introduction = (
        f"{len(pairs)} pairs of prompts. What one place holds in one run is written into the other run, and "
        f"{config.metric} says how far the answer follows"
        + (": 0 is the run that is written into, 1 the run whose values are written." if config.normalize else "."),
    )
    sections = [
        Section("The first pair, up to where it is read", shown=_shown(swept)),
        Section(
            f"Sweep: {config.sites}, {config.direction}", drawings=tuple(_drawings(out, swept)),
            tables=(_strongest(swept),),
        ),
    ]  # fmt: skip
    return write_page(out, "Activation patching: a sweep", introduction, _findings(swept), sections, statement)


def _findings(swept: Swept) -> list[Finding]:
    config, sweep = swept.config, swept.sweep
    low, high = sweep.ends[config.metric]
    into = "corrupt" if config.direction == "denoise" else "clean"
    return [
        Finding(f"{config.metric}: {low:.3f} on the {into} run that is written into, {high:.3f} on the source run."),
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


def _strongest(swept: Swept) -> TableBlock:
    """The patches that move the metric furthest, with intervals over documents."""
    config, sweep = swept.config, swept.sweep
    effects, counts = sweep.effects(config.metric, config.normalize), sweep.counts(config.metric)
    of_base = sweep.own_ends(config.metric)[0]
    documents = [pair.doc_id or number for number, pair in enumerate(swept.pairs)]
    low, high = sweep.intervals(config.metric, config.normalize, documents)
    columns: dict[str, Column] = {
        "place": lambda i: sweep.patches[i].label, "effect": lambda i: float(effects[i]),
        "low": lambda i: float(low[i]), "high": lambda i: float(high[i]), "n": lambda i: int(counts[i]),
    }  # fmt: skip
    if not config.normalize:
        columns["base run"] = lambda i: float(of_base[i])
    distance = np.abs(effects - (0.0 if config.normalize else of_base))
    return table(
        np.argsort(-distance, kind="stable")[:TOP], columns, "The strongest",
        "n: pairs that have the place; effect, ends and interval (bootstrap, 95 %) are over these.",
    )  # fmt: skip


def _drawings(out: Path, swept: Swept) -> list[Drawing]:
    """Heat maps of one or several layers x something; none where the sweep has no such axes or too many cells."""
    config, sweep = swept.config, swept.sweep
    axes, array = list(sweep.axes), sweep.matrix(config.metric, config.normalize)
    if "layer" not in axes or array.ndim - ("kind" in axes) > 3:
        return []
    panels = _panels(sweep, array, config.sites)
    other = "pos" if "pos" in axes else "head"
    labels = _positions(swept.model, swept.pairs) if other == "pos" else ()
    value = "effect (0: base run, 1: source run)" if config.normalize else config.metric
    fewest, n = int(sweep.counts(config.metric).min()), len(swept.pairs)
    some = f" A cell is the mean over the pairs that have it, {fewest} to {n}." if fewest < n else ""
    shown = dict(list(panels.items())[:LONGEST])
    caption = f"{config.sites}, {config.direction}.{some}"
    return [heat_map(out, "sweep", shown, Axes(other, "layer", value, labels), caption)]


def _panels(sweep: Sweep, array: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """Matrices of layers x positions or heads: of each kind, and where both are axes of each head."""
    stacked = {name: array}
    if "kind" in sweep.axes:
        names = {cell[0]: patch.sites[0].about.swept for cell, patch in zip(sweep.cells, sweep.patches, strict=True)}
        stacked = {names[i]: part for i, part in enumerate(array)}
    axes = [axis for axis in sweep.axes if axis != "kind"]
    panels: dict[str, np.ndarray] = {}
    for title, part in stacked.items():
        if part.ndim == 2:
            panels[title] = part
            continue
        head = axes.index("head")
        panels |= {f"{title}, head {h}": part.take(h, axis=head) for h in range(part.shape[head])}
    return panels


def _positions(model: Model, pairs: Pairs) -> Sequence[str]:
    """Positions, with the tokens of a single pair (both, where clean and corrupt differ)."""
    longest = max(len(pair) for pair in pairs)
    if len(pairs) > 1 or model.tokenizer is None:
        return [str(i) for i in range(longest)]
    tokens = [model.tokenizer.convert_ids_to_tokens(list(ids)) for ids in (pairs[0].clean_ids, pairs[0].corrupt_ids)]
    return [f"{i} {a}" if a == b else f"{i} {a}/{b}" for i, (a, b) in enumerate(zip(*tokens, strict=True))]
