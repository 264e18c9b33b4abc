"""Sections about what one place holds: every site, components, answer tokens, heads, and the other way round."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from memcirc.patching.sites import KINDS
from memcirc.report import figures
from memcirc.report.drawing import draw
from memcirc.report.sections import Section
from memcirc.studies.blocks import Axes, Column, heat_map, table
from memcirc.studies.pii.effects import NO_EFFECT
from memcirc.studies.pii.results import INTO, NATS, OUT_OF, PiiResults, SiteEffect
from memcirc.studies.words import part

TOP_SITES = 12
BY_TOKEN = ("attn_out", "mlp_out", "resid_post")
EFFECTS: dict[str, Column] = {
    "site": "hook", "effect": "effect", "low": "low", "high": "high", "share of the gap": "share",
    "answers exact": "exact",
}  # fmt: skip
WITH_ALIASES = EFFECTS | {"same as": "alias_of"}
GROUPS: dict[str, Column] = {
    "group": lambda group: part(group[0]),
    "mean": lambda group: float(np.mean([e.effect for e in group[1]])),
    "highest": lambda group: max(e.effect for e in group[1]),
    "lowest": lambda group: min(e.effect for e in group[1]),
    "count": lambda group: len(group[1]),
}


def site_sections(out: Path, results: PiiResults) -> list[Section]:
    """The sections of this module, in their order on the page."""
    return [
        _sites(out, results),
        _components(out, results),
        _tokens(out, results),
        _suppression(results),
        _heads(out, results),
    ]


def _distinct(effects: Sequence[SiteEffect]) -> list[SiteEffect]:
    return [e for e in effects if e.alias_of is None]


def _sites(out: Path, results: PiiResults) -> Section:
    effects = results.effects[INTO]
    distinct = _distinct(effects)
    kinds = list(dict.fromkeys(e.kind for e in distinct if e.layer is not None))
    matrix = np.full((len(kinds), len({e.layer for e in effects if e.layer is not None})), np.nan)
    for e in distinct:
        if e.layer is not None:
            matrix[kinds.index(e.kind), e.layer] = e.effect
    axes = Axes("layer", "", "nats", y_labels=[part(kind) for kind in kinds])
    caption = f"Each distinct site, target into control: {NATS}."
    ranked = sorted(distinct, key=lambda e: -abs(e.effect))[:TOP_SITES]
    return Section(
        f"Every site ({len(effects)}, of which {len(distinct)} distinct)",
        ("Sites that hold the same information (keys before and after their rotation, scores and pattern, a block's "
         "output and the next one's input) are computed once and counted once.",),
        drawings=(heat_map(out, "sites", {"effect": matrix}, axes, caption),),
        tables=(
            table(ranked, WITH_ALIASES, "The strongest", "Intervals: bootstrap over passages, 95 %."),
            table(effects, WITH_ALIASES, "All of them"),
        ),
    )  # fmt: skip


def _components(out: Path, results: PiiResults) -> Section:
    distinct = _distinct(results.effects[INTO])
    layers = sorted({e.layer for e in distinct if e.layer is not None})
    by_kind = {kind: [e for e in distinct if e.kind == kind] for kind in dict.fromkeys(e.kind for e in distinct)}
    by_layer = {
        f"layer {n}": [e for e in distinct if e.layer == n and not KINDS[e.kind].residual] for n in layers
    }  # fmt: skip
    curves = {
        part(kind): ([e.layer for e in by_kind[kind]], [e.effect for e in by_kind[kind]])
        for kind in ("resid_post", "attn_out", "mlp_out", "pattern", "v")
        if by_kind.get(kind)
    }
    drawn = figures.lines(curves, "layer", "nats")
    inner = [group for group in by_layer.items() if group[1]]
    return Section(
        "By component and by layer",
        drawings=(draw(out, "components", drawn, f"Target into control, by layer: {NATS}."),),
        tables=(
            table(by_kind.items(), GROUPS, "By component", "Aliases are left out."),
            table(inner, GROUPS, "By layer", "Without the residual stream, without aliases."),
        ),
    )


def _tokens(out: Path, results: PiiResults) -> Section:
    steps = max(map(len, results.token_effects.values()))
    layers = 1 + max(e.layer for e in results.effects[INTO] if e.layer is not None)
    panels = {part(kind): np.full((layers, steps), np.nan) for kind in BY_TOKEN}
    for e in results.effects[INTO]:
        if e.layer is not None and e.kind in BY_TOKEN and e.hook in results.token_effects:
            panels[part(e.kind)][e.layer] = results.token_effects[e.hook]
    axes = Axes("token of the answer", "layer", "nats", [str(k + 1) for k in range(steps)])
    return Section(
        "Token by token",
        ("The same effects for each token of the answer. Later tokens have fewer passages: answers differ in length.",),
        drawings=(heat_map(out, "tokens", panels, axes, f"By answer token: {NATS}."),),
    )


def _suppression(results: PiiResults) -> Section:
    weakest = sorted(_distinct(results.effects[OUT_OF]), key=lambda e: e.effect)[:TOP_SITES]
    return Section(
        "Suppression: control into target",
        ("The other way round: which place, taken from the control, makes the target forget? A negative effect "
         "lowers the answer; answers exact says how many are still recited.",),
        tables=(table(weakest, EFFECTS),),
    )  # fmt: skip


def _heads(out: Path, results: PiiResults) -> Section:
    tokens = [f"{i} {token}" for i, token in enumerate(results.pattern_tokens)]
    effects = {"output": results.heads[0], "pattern": results.heads[1]}
    attention = Axes("reads", "from", "attention", tokens, tokens, columns=2, rising=True)
    return Section(
        "Head by head",
        drawings=(
            heat_map(out, "heads", effects, Axes("head", "layer", "nats"),
                     f"Each head's output and pattern, target into control: {NATS}. Empty: not patched, since "
                     f"all heads of the layer together move it by less than {NO_EFFECT:.0%} of the gap between the "
                     "models."),
            heat_map(out, "attention", results.patterns, attention,
                     "The heads with the largest effects, in both models, on one passage."),
        ),
    )  # fmt: skip
