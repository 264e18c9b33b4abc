"""The IOI study's page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from memcirc.patching.result import Sweep
from memcirc.report import figures
from memcirc.report.drawing import draw
from memcirc.report.sections import Finding, Section, TableBlock, write_page
from memcirc.studies.ioi.prompts import ROLES
from memcirc.studies.ioi.results import IoiResults

METRIC = "logit_diff"
FIVE = ("output", "query", "key", "value", "pattern")
BLOCK = ("residual stream, at the start of the block", "attention output", "MLP output")
TOP_ROWS = 6
EFFECT = "effect (0: base run, 1: source run)"
LOWEST_CORRELATION = 0.98


def write_ioi_page(out: Path, results: IoiResults, statement: Mapping[str, Any]) -> Path:
    """Write the page into ``out`` and return its path."""
    introduction = (
        'Activation patching of "indirect object identification": after two people are named, one of them hands '
        "something over, and the model should say to whom. Clean and corrupt prompts differ in one word, who hands "
        "it over, so that the right answer changes sides. Patching takes what one place in the model holds on one "
        "prompt, writes it into the run on the other, and asks how far the answer follows.",
        "Denoising writes clean values into the corrupt run: what is enough to bring the behaviour back? Noising "
        "writes corrupt values into the clean run: what can it not do without? In both, 0 is the run that is "
        "written into and 1 the run whose values are written; the number is the ratio of mean logit differences "
        "(answer minus wrong answer).",
    )
    sections = [
        _task(results),
        _blocks(out, results),
        _heads(out, results),
        _five_ways(out, results),
        _attention(out, results),
        _direct(out, results),
        _screens(results),
        _next_tokens(results),
        *_factual(out, results),
    ]
    return write_page(out, "Activation patching: IOI", introduction, _findings(results), sections, statement)


def _findings(results: IoiResults) -> list[Finding]:
    heads = results.sweeps["head_out_all_pos (denoise)"]
    best, worst = heads.ranked(METRIC, "positive", 1), heads.ranked(METRIC, "negative", 1)
    gap = float((results.direct.total.double().mean() - results.logit_diff["clean"]).abs())
    said = ", ".join(f"{value:.3f} on the {name}" for name, value in results.selftest.items())
    found = [
        Finding(
            f"The model gives the answer to {results.correct['clean']:.0%} of the clean prompts and the other name to "
            f"{results.correct['corrupt']:.0%} of the corrupt ones.",
            results.correct["clean"] >= 0.9,
        ),
        Finding(f"The metric tests itself: {said} (1, 0 and 0.5 by construction).", True),
        _where(results.sweeps["block_every (denoise)"]),
    ]
    for label, rows in (("strongest", best), ("most harmful", worst)):
        found += [Finding(f"The {label} head when denoised is {name}: {effect:+.2f}.") for name, effect in rows]
    found.append(
        Finding(f"The direct effects of all components add up to the logit difference (within {gap:.0e}).", gap < 1e-2)
    )
    for s in results.screens:
        found.append(
            Finding(
                f"Attribution patching, {s.sweep}: correlation with the exact effects {s.with_fix:.3f} with the QK "
                f"fix (threshold: at least {LOWEST_CORRELATION}), {s.without_fix:.3f} without.",
                s.with_fix >= LOWEST_CORRELATION and s.with_fix > s.without_fix,
            )
        )
    return found


def _where(blocks: Sweep) -> Finding:
    """The road of the information: at which position the residual stream carries it, layer by layer."""
    residual = blocks.matrix(METRIC)[0]
    road = [
        f"layer {layer}: {ROLES[int(np.nanargmax(row))]} ({np.nanmax(row):.2f})" for layer, row in enumerate(residual)
    ]
    return Finding(
        "Where the residual stream carries who is giving (denoising, best position): " + "; ".join(road) + "."
    )


def _task(results: IoiResults) -> Section:
    shown = [
        line
        for pair in results.pairs
        for line in (f"clean    {pair.clean} →{pair.answer}", f"corrupt  {pair.corrupt} →{pair.wrong}", "")
    ]
    rows = [
        {"run": name, "answers as it should": results.correct[name], "mean logit difference": results.logit_diff[name]}
        for name in ("clean", "corrupt")
    ]
    return Section(
        "The task",
        (f"{len(next(iter(results.sweeps.values())).base[METRIC])} pairs; some of them:",),
        tables=(TableBlock(("run", "answers as it should", "mean logit difference"), rows),),
        shown=tuple(shown[:-1]),
    )


def _labels(results: IoiResults) -> list[str]:
    return [f"{i} {role}" for i, role in enumerate(ROLES[-len(results.position_labels) :])]


def _layers(n: int) -> list[str]:
    return [str(layer) for layer in range(n)]


def _blocks(out: Path, results: IoiResults) -> Section:
    drawings = []
    for direction in ("denoise", "noise"):
        array = results.sweeps[f"block_every ({direction})"].matrix(METRIC)
        panels = dict(zip(BLOCK, array, strict=True))
        drawn = figures.heat_maps(panels, _labels(results), _layers(array.shape[1]), "position", "layer", EFFECT)
        what = "clean values into the corrupt run" if direction == "denoise" else "corrupt values into the clean run"
        drawings.append(
            draw(out, f"blocks_{direction}", drawn, f"{direction.capitalize()[:-1]}ing: {what}, by layer and position.")
        )
    sweep = results.sweeps["block_every (denoise)"]
    rows = [{"metric": m, "base run": low, "source run": high} for m, (low, high) in sweep.ends.items()]
    return Section(
        "Residual stream, attention and MLP outputs",
        (
            "Read the left panel from top to bottom: at which position does the residual stream carry who is "
            "giving, and from which layer on has it moved to the last position, where the answer is said? The other "
            "panels show which layers' attention and MLPs carry it.",
        ),
        drawings=tuple(drawings),
        tables=(
            TableBlock(("metric", "base run", "source run"), rows, "The ends of every metric (denoising)",
                       "The long table patches.parquet has all of them for every patch and pair, raw and normalised."),
        ),
    )  # fmt: skip


def _heads(out: Path, results: IoiResults) -> Section:
    panels = {d: results.sweeps[f"head_out_all_pos ({d})"].matrix(METRIC) for d in ("denoise", "noise")}
    n_layers, n_heads = panels["denoise"].shape
    drawn = figures.heat_maps(panels, _layers(n_heads), _layers(n_layers), "head", "layer", EFFECT)
    sweep = results.sweeps["head_out_all_pos (denoise)"]
    low, high = sweep.intervals(METRIC)
    number = {patch.label: i for i, patch in enumerate(sweep.patches)}
    tables = []
    for by, title in (("signed", "Strongest of either sign"), ("positive", "Positive"), ("negative", "Negative")):
        rows = [
            {"head": label, "effect": effect, "low": float(low[number[label]]), "high": float(high[number[label]])}
            for label, effect in sweep.ranked(METRIC, by, TOP_ROWS)
        ]
        note = "" if rows else "None: no head pushes this way."
        tables.append(TableBlock(("head", "effect", "low", "high"), rows, f"{title} (denoising)", note))
    return Section(
        "Heads",
        ("The output of each head, at all positions at once. Negative heads push against the answer; a ranking by "
         "signed size alone would hide them. Intervals: bootstrap over pairs, 95 %.",),
        drawings=(draw(out, "heads", drawn, "Each head's output patched, denoising and noising."),),
        tables=tuple(tables),
    )  # fmt: skip


def _five_ways(out: Path, results: IoiResults) -> Section:
    drawings = []
    for direction in ("denoise", "noise"):
        array = results.sweeps[f"head_all_pos_every ({direction})"].matrix(METRIC)
        panels = dict(zip(FIVE, array, strict=True))
        drawn = figures.heat_maps(panels, _layers(array.shape[2]), _layers(array.shape[1]), "head", "layer", EFFECT, 5)
        drawings.append(draw(out, f"five_ways_{direction}", drawn, f"Heads five ways, {direction}."))
    return Section(
        "Heads, five ways",
        ("Why does a head matter: where it looks (query, key, pattern), or what it moves (value)? Keys and values "
         "that a group of heads shares are grey where a head has none of its own.",),
        drawings=tuple(drawings),
    )  # fmt: skip


def _attention(out: Path, results: IoiResults) -> Section:
    labels = _labels(results)
    drawn = figures.heat_maps(dict(results.attention), labels, labels, "reads", "from", "attention", 4, rising=True)
    text = "The heads with the strongest effects of either sign (denoising), mean attention over the clean prompts."
    return Section("What these heads look at", (text,), drawings=(draw(out, "attention", drawn, text),))


def _direct(out: Path, results: IoiResults) -> Section:
    heads = results.direct.heads.double().mean(0).cpu().numpy()
    mlps = results.direct.mlps.double().mean(0).cpu().numpy()
    n_layers, n_heads = heads.shape
    drawn = figures.heat_maps(
        {"share of the logit difference": np.concatenate([heads, mlps[:, None]], axis=1)}, [*_layers(n_heads), "MLP"],
        _layers(n_layers), "head", "layer", "logits",
    )  # fmt: skip
    rows = [
        {"part": "embeddings", "logits": float(results.direct.embed.double().mean())},
        {"part": "all heads", "logits": float(heads.sum())},
        {"part": "all MLPs", "logits": float(mlps.sum())},
        {"part": "biases", "logits": float(results.direct.biases.double().mean())},
        {"part": "sum", "logits": float(results.direct.total.double().mean())},
        {"part": "the model's logit difference", "logits": results.logit_diff["clean"]},
    ]
    return Section(
        "Direct logit attribution",
        ("What each component writes straight onto the answer's direction, the final norm's scale as in the run. "
         "Patching also sees what a component does through later ones; the two need not agree.",),
        drawings=(draw(out, "direct", drawn, "Direct effect of every head and MLP on the clean prompts."),),
        tables=(TableBlock(("part", "logits"), rows),),
    )  # fmt: skip


def _screens(results: IoiResults) -> Section:
    rows = [
        {
            "sweep": s.sweep, "with the QK fix": s.with_fix, "plain": s.without_fix, "GradDrop, absolute": s.grad_drop,
            "verified top": s.verification.n_top, "recall": s.verification.recall,
            "random sample": s.verification.n_random, "its correlation": s.verification.correlation_random,
        }
        for s in results.screens
    ]  # fmt: skip
    return Section(
        "Attribution patching as a screen",
        ("One backward pass estimates all effects of a sweep at once. Here every estimate is compared with its "
         "exact effect (all patches, all pairs); verifying only the top and a random sample would have shown the "
         "last four columns.",),
        tables=(TableBlock(tuple(rows[0]), rows),),
    )  # fmt: skip


def _next_tokens(results: IoiResults) -> Section:
    tables = [
        TableBlock(("token", "probability"), [{"token": token, "probability": p} for token, p in tokens], text)
        for text, tokens in results.top_tokens.items()
    ]
    return Section("Next tokens", tables=tuple(tables))


def _factual(out: Path, results: IoiResults) -> list[Section]:
    if results.factual is None:
        return []
    array = results.factual.matrix(METRIC, normalized=False)
    panels = dict(zip(BLOCK, array, strict=True))
    labels = [f"{i} {token}" for i, token in enumerate(results.factual_labels)]
    drawn = figures.heat_maps(panels, labels, _layers(array.shape[1]), "position", "layer", "logit difference")
    low, high = results.factual.ends[METRIC]
    text = f"Logit difference in logits, not normalised: {low:.2f} on the corrupt prompt, {high:.2f} on the clean one."
    return [Section("The pair you gave", (text,), drawings=(draw(out, "factual", drawn, text),))]
