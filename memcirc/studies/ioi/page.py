"""The IOI study's page."""

from collections.abc import Mapping
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from memcirc.report.sections import Section, TableBlock, write_page
from memcirc.studies.blocks import Axes, Column, entries, heat_map, numbered, table
from memcirc.studies.ioi.findings import (
    METRIC,
    NO_EFFECT,
    findings,
    idle_heads,
    named_heads,
    screened,
)
from memcirc.studies.ioi.prompts import ROLES
from memcirc.studies.ioi.results import IoiResults

TITLE = "Where does the model keep who is given something? Activation patching"
FIVE = ("output", "query", "key", "value", "pattern")
BLOCK = ("residual stream, at the start of the block", "attention output", "MLP output")
TOP_ROWS = 6
EFFECT = "effect (0: none, 1: the whole answer)"
DIRECTIONS = {"denoise": "denoising", "noise": "noising"}
HEADS = Axes("head", "layer", EFFECT)


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
    return write_page(out, TITLE, introduction, findings(results), sections, statement)


def _task(results: IoiResults) -> Section:
    shown = [
        line
        for pair in results.pairs
        for line in (f"clean    {pair.clean} →{pair.answer}", f"corrupt  {pair.corrupt} →{pair.wrong}", "")
    ]
    columns: dict[str, Column] = {
        "run": str, "answers as it should": results.correct.__getitem__,
        "mean logit difference": results.logit_diff.__getitem__,
    }  # fmt: skip
    return Section(
        "The task",
        (f"{len(next(iter(results.sweeps.values())).base[METRIC])} pairs; some of them:",),
        tables=(table(("clean", "corrupt"), columns),),
        shown=tuple(shown[:-1]),
    )


def _labels(results: IoiResults) -> list[str]:
    return [f"{i} {role}" for i, role in enumerate(ROLES[-len(results.position_labels) :])]


def _blocks(out: Path, results: IoiResults) -> Section:
    drawings = []
    for direction, what in (("denoise", "clean values into the corrupt"), ("noise", "corrupt values into the clean")):
        array = results.sweeps[f"block_every ({direction})"].matrix(METRIC)
        caption = f"{DIRECTIONS[direction].capitalize()}: {what} run, by layer and position."
        axes = Axes("position", "layer", EFFECT, _labels(results))
        drawings.append(heat_map(out, f"blocks_{direction}", dict(zip(BLOCK, array, strict=True)), axes, caption))
    ends = results.sweeps["block_every (denoise)"].ends
    columns: dict[str, Column] = {"metric": str, "base run": lambda m: ends[m][0], "source run": lambda m: ends[m][1]}
    return Section(
        "Residual stream, attention and MLP outputs",
        (
            "Read the left panel from top to bottom: at which position does the residual stream carry who is "
            "giving, and from which layer on has it moved to the last position, where the answer is said? The other "
            "panels show which layers' attention and MLPs carry it.",
        ),
        drawings=tuple(drawings),
        tables=(
            table(ends, columns, "What every measure is without a patch (denoising)",
                  "The long table patches.parquet has all of them for every patch and pair, raw and normalised."),
        ),
    )  # fmt: skip


def _heads(out: Path, results: IoiResults) -> Section:
    panels = {name: results.sweeps[f"head_out_all_pos ({d})"].matrix(METRIC) for d, name in DIRECTIONS.items()}
    drawing = heat_map(out, "heads", panels, HEADS, "Each head's output patched, denoising and noising.")
    sweep = results.sweeps["head_out_all_pos (denoise)"]
    names = named_heads(sweep)
    spans = dict(zip([patch.label for patch in sweep.patches], sweep.intervals(METRIC).T.tolist(), strict=True))
    columns: dict[str, Column] = {
        "head": lambda row: names[row[0]], "effect": itemgetter(1), "low": lambda row: spans[row[0]][0],
        "high": lambda row: spans[row[0]][1],
    }  # fmt: skip
    tables = []
    for by, title in (("signed", "Strongest of either sign"), ("positive", "Positive"), ("negative", "Negative")):
        ranked = sweep.ranked(METRIC, by, TOP_ROWS)
        note = "" if ranked else "None: no head pushes this way."
        tables.append(table(ranked, columns, f"{title} (denoising)", note))
    idle = f"They move the answer by less than {NO_EFFECT} either way; together they may still matter."
    tables.append(TableBlock(("head", "denoising", "noising"), idle_heads(results), "No effect by themselves", idle))
    return Section(
        "Heads",
        ("The output of each head, at all positions at once. Negative heads push against the answer; a ranking by "
         "signed size alone would hide them. Intervals: bootstrap over pairs, 95 %.",),
        drawings=(drawing,),
        tables=tuple(tables),
    )  # fmt: skip


def _five_ways(out: Path, results: IoiResults) -> Section:
    drawings = []
    for direction in ("denoise", "noise"):
        panels = dict(zip(FIVE, results.sweeps[f"head_all_pos_every ({direction})"].matrix(METRIC), strict=True))
        axes = replace(HEADS, columns=len(FIVE))
        caption = f"Of every head its output, query, key, value and attention pattern patched, {DIRECTIONS[direction]}."
        drawings.append(heat_map(out, f"five_ways_{direction}", panels, axes, caption))
    return Section(
        "Heads, five ways",
        ("Why does a head matter: where it looks (query, key, pattern), or what it moves (value)? Keys and values "
         "that a group of heads shares are grey where a head has none of its own.", _why(results)),
        drawings=tuple(drawings),
    )  # fmt: skip


def _why(results: IoiResults) -> str:
    """Of the strongest head, whether it matters by where it looks or by what it moves."""
    output, *parts = results.sweeps["head_all_pos_every (denoise)"].matrix(METRIC)
    layer, head = (int(i) for i in np.unravel_index(np.nanargmax(output), output.shape))
    own = {name: round(float(effects[layer, head]), 2) + 0.0 for name, effects in zip(FIVE[1:], parts, strict=True)}
    told = ", ".join(f"{name} {effect:.2f}" for name, effect in own.items())
    why = "what it moves" if own["value"] >= max(own.values()) else "where it looks"
    return (
        f"The strongest, head {head} of layer {layer} (output {output[layer, head]:.2f}), matters most by {why}; "
        f"denoised: {told}."
    )


def _attention(out: Path, results: IoiResults) -> Section:
    labels = _labels(results)
    axes = Axes("reads", "from", "attention", labels, labels, columns=4, rising=True)
    text = "The heads with the strongest effects of either sign (denoising), mean attention over the clean prompts."
    return Section(
        "What these heads look at", (text,), drawings=(heat_map(out, "attention", results.attention, axes, text),)
    )


def _direct(out: Path, results: IoiResults) -> Section:
    direct = results.direct
    heads, mlps = (part.double().mean(0).cpu().numpy() for part in (direct.heads, direct.mlps))
    panels = {"share of the logit difference": np.concatenate([heads, mlps[:, None]], axis=1)}
    axes = Axes("head", "layer", "logits", [*numbered(heads.shape[1]), "MLP"])
    parts = {
        "embeddings": float(direct.embed.double().mean()),
        "all heads": float(heads.sum()),
        "all MLPs": float(mlps.sum()),
        "biases": float(direct.biases.double().mean()),
        "sum": float(direct.total.double().mean()),
        "the model's logit difference": results.logit_diff["clean"],
    }
    caption = "Direct effect of every head and MLP on the clean prompts."
    return Section(
        "Direct logit attribution",
        ("What each component writes straight onto the answer's direction, the final norm's scale as in the run. "
         "Patching also sees what a component does through later ones; the two need not agree.",),
        drawings=(heat_map(out, "direct", panels, axes, caption),),
        tables=(entries(parts.items(), "part", "logits"),),
    )  # fmt: skip


def _screens(results: IoiResults) -> Section:
    columns: dict[str, Column] = {
        "sweep": lambda s: screened(s.sweep), "with the QK fix": "with_fix", "plain": "without_fix",
        "GradDrop, absolute": "grad_drop",
        "verified top": lambda s: s.verification.n_top, "recall": lambda s: s.verification.recall,
        "random sample": lambda s: s.verification.n_random,
        "its correlation": lambda s: s.verification.correlation_random,
    }  # fmt: skip
    return Section(
        "Attribution patching as a screen",
        ("One backward pass estimates all effects of a sweep at once. Here every estimate is compared with its "
         "exact effect (all patches, all pairs; unless --every_head was given, of the heads that have an effect at all "
         "positions at once); verifying only the top and a random sample would have shown the last four columns.",),
        tables=(table(results.screens, columns),),
    )  # fmt: skip


def _next_tokens(results: IoiResults) -> Section:
    tables = [entries(tokens, "token", "probability", text) for text, tokens in results.top_tokens.items()]
    return Section("Next tokens", tables=tuple(tables))


def _factual(out: Path, results: IoiResults) -> list[Section]:
    if results.factual is None:
        return []
    panels = dict(zip(BLOCK, results.factual.matrix(METRIC), strict=True))
    labels = [f"{i} {token}" for i, token in enumerate(results.factual_labels)]
    low, high = results.factual.ends[METRIC]
    text = f"Logit difference in logits, not normalised: {low:.2f} on the corrupt prompt, {high:.2f} on the clean one."
    axes = Axes("position", "layer", "logit difference", labels)
    return [Section("The pair you gave", (text,), drawings=(heat_map(out, "factual", panels, axes, text),))]
