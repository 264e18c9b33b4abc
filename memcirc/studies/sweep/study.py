"""One sweep on a file of pairs, to a table and a page with its heat maps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from memcirc.models import Model, load_model
from memcirc.pairs.record import Pairs, load_pairs
from memcirc.patching.result import Sweep
from memcirc.patching.sweep import patch_sweep
from memcirc.report import figures
from memcirc.report.drawing import Drawing, draw
from memcirc.report.sections import Finding, Section, TableBlock, write_page
from memcirc.studies.stages import write_results, write_table
from memcirc.studies.sweep.config import SweepConfig
from memcirc.work.progress import say

TOP, LONGEST = 12, 60


def run_sweep(run_dir: Path, config: SweepConfig, force: bool, progress: bool) -> Path:
    """Sweep the pairs of a file and return the page's path; nothing is trained, so ``force`` changes nothing."""
    model = load_model(config.model_name, device=config.device)
    source = load_model(config.source_model, device=config.device) if config.source_model else None
    pairs = load_pairs(config.path, model, config.bos)
    sweep = swept(model, source, pairs, config, progress)
    statement = {**model.statement(), "pairs": pairs.fingerprint, **asdict(config)}
    write_table(run_dir / "sweep" / "patches.parquet", sweep.table)
    results = {
        "axes": sweep.axes,
        "effects": sweep.matrix(config.metric, config.normalize),
        "n": sweep.arranged(sweep.counts(config.metric)),
        "ends": sweep.ends,
        "notes": sweep.notes,
        "self_patch": sweep.self_patch,
    }
    write_results(run_dir / "sweep" / "results.json", results | {"statement": statement})
    return _page(run_dir / "report", model, pairs, sweep, config, statement)


def swept(model: Model, source: Model | None, pairs: Pairs, config: SweepConfig, progress: bool) -> Sweep:
    """The sweep that a configuration asks for.

    Raises:
        ValueError: a pair of equal prompts of one model; and what :func:`memcirc.patching.sweep.patch_sweep` refuses.
    """
    for i, pair in enumerate(pairs):
        if source is None and pair.clean_ids == pair.corrupt_ids:
            raise ValueError(f"pair {i}: clean and corrupt prompts coincide, so there is nothing to patch")
    are_hooks = "." in config.sites or config.sites.startswith("hook_")
    say(f"sweep of {len(pairs)} pairs: {config.sites}")
    return patch_sweep(
        model, pairs, sites=config.sites.split(",") if are_hooks else config.sites, direction=config.direction,
        metrics=config.metric, source_model=source, normalize=config.normalize, progress=progress,
    )  # fmt: skip


def _page(
    out: Path, model: Model, pairs: Pairs, sweep: Sweep, config: SweepConfig, statement: Mapping[str, Any]
) -> Path:
    low, high = sweep.ends[config.metric]
    effects = sweep.effects(config.metric, config.normalize)
    of_base, counts = sweep.own_ends(config.metric)[0], sweep.counts(config.metric)
    distance = np.abs(effects - (0.0 if config.normalize else of_base))
    documents = [pair.doc_id or number for number, pair in enumerate(pairs)]
    spans = sweep.intervals(config.metric, config.normalize, groups=documents)
    order = np.argsort(-distance, kind="stable")[:TOP]
    rows = [
        {
            "place": sweep.patches[i].label, "effect": float(effects[i]), "low": float(spans[0, i]),
            "high": float(spans[1, i]), "n": int(counts[i]),
            **({} if config.normalize else {"base run": float(of_base[i])}),
        }
        for i in order
    ]  # fmt: skip
    into = "corrupt" if config.direction == "denoise" else "clean"
    findings = [
        Finding(f"{config.metric}: {low:.3f} on the {into} run that is written into, {high:.3f} on the source run."),
        Finding(
            f"Self-patch: writing what was there changes a run by at most {sweep.self_patch:.0e} of its size.", True
        ),
        *(Finding(note) for note in sweep.notes),
    ]
    first, end = pairs[0], pairs[0].read_at + 1
    shown = (
        f"clean    {model.decode(first.clean_ids[:end])} → {model.decode(first.answer_ids)}",
        f"corrupt  {model.decode(first.corrupt_ids[:end])} → {model.decode(first.wrong_answer_ids)}",
    )
    introduction = (
        f"{len(pairs)} pairs of prompts. What one place holds in one run is written into the other run, and "
        f"{config.metric} says how far the answer follows"
        + (": 0 is the run that is written into, 1 the run whose values are written." if config.normalize else "."),
    )
    sections = [
        Section("The first pair, up to where it is read", shown=shown),
        Section(
            f"Sweep: {config.sites}, {config.direction}",
            drawings=tuple(_drawings(out, model, pairs, sweep, config)),
            tables=(TableBlock(tuple(rows[0]), rows, "The strongest",
                               "n: pairs that have the place; effect, ends and interval (bootstrap, 95 %) are over "
                               "these."),),
        ),
    ]  # fmt: skip
    return write_page(out, "Activation patching: a sweep", introduction, findings, sections, statement)


def _drawings(out: Path, model: Model, pairs: Pairs, sweep: Sweep, config: SweepConfig) -> list[Drawing]:
    """Heat maps of one or several layers x something; none where the sweep has no such axes or too many cells."""
    axes, array = list(sweep.axes), sweep.matrix(config.metric, config.normalize)
    if "layer" not in axes or array.ndim - ("kind" in axes) > 3:
        return []
    stacked = {config.sites: array}
    if "kind" in axes:
        names = {cell[0]: patch.sites[0].about.swept for cell, patch in zip(sweep.cells, sweep.patches, strict=True)}
        stacked = {names[i]: part for i, part in enumerate(array)}
    axes = [axis for axis in axes if axis != "kind"]
    panels: dict[str, np.ndarray] = {}
    for name, part in stacked.items():
        if part.ndim == 2:
            panels[name] = part
            continue
        head = axes.index("head")
        panels |= {f"{name}, head {h}": part.take(h, axis=head) for h in range(part.shape[head])}
    other = "pos" if "pos" in axes else "head"
    labels = (
        _positions(model, pairs) if other == "pos" else [str(h) for h in range(next(iter(panels.values())).shape[1])]
    )
    rows = [str(layer) for layer in range(next(iter(panels.values())).shape[0])]
    value = "effect (0: base run, 1: source run)" if config.normalize else config.metric
    drawn = figures.heat_maps(dict(list(panels.items())[:LONGEST]), labels, rows, other, "layer", value)
    fewest = int(sweep.counts(config.metric).min())
    some = f" A cell is the mean over the pairs that have it, {fewest} to {len(pairs)}." if fewest < len(pairs) else ""
    return [draw(out, "sweep", drawn, f"{config.sites}, {config.direction}.{some}")]


def _positions(model: Model, pairs: Pairs) -> Sequence[str]:
    """Positions, with the tokens of a single pair (both, where clean and corrupt differ)."""
    longest = max(len(pair) for pair in pairs)
    if len(pairs) > 1 or model.tokenizer is None:
        return [str(i) for i in range(longest)]
    tokens = [model.tokenizer.convert_ids_to_tokens(list(ids)) for ids in (pairs[0].clean_ids, pairs[0].corrupt_ids)]
    return [f"{i} {a}" if a == b else f"{i} {a}/{b}" for i, (a, b) in enumerate(zip(*tokens, strict=True))]
