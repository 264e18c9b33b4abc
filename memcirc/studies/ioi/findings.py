"""What the IOI study found, in sentences: what the model says, where the answer moves, which heads matter and which do
not, and how well a quick estimate agrees."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from memcirc.patching.result import Sweep
from memcirc.report.sections import Finding
from memcirc.studies.ioi.prompts import ROLES
from memcirc.studies.ioi.results import IoiResults
from memcirc.studies.words import layers, place

METRIC = "logit_diff"
NO_EFFECT = 0.02
"""A head that moves the answer by less, of the way from one run to the other, is said to have no effect."""
LOWEST_CORRELATION = 0.98
LAYERS_NAMED = 6
SCREENED = {"head_q_by_pos": "heads' queries", "head_k_by_pos": "heads' keys"}


def findings(results: IoiResults) -> list[Finding]:
    """The findings, in their order on the page."""
    said = ", ".join(f"{name} {value:.3f}" for name, value in results.selftest.items())
    gap = float((results.direct.total.double().mean() - results.logit_diff["clean"]).abs())
    return [
        Finding(
            f"The model gives the answer to {results.correct['clean']:.0%} of the clean prompts and the other name to "
            f"{results.correct['corrupt']:.0%} of the corrupt ones (a guess between the two names: 50%; threshold: "
            "90% of the clean ones).",
            results.correct["clean"] >= 0.9,
        ),
        where_it_moves(results.sweeps["block_every (denoise)"]),
        *_strongest(results.sweeps["head_out_all_pos (denoise)"]),
        Finding(idle_sentence(results)),
        Finding(f"The measure tests itself: {said} (1, 0 and 0.5 by construction).", True),
        Finding(
            "What all parts write straight onto the answer adds up to the logit difference (within "
            f"{gap:.0e}; threshold: 0.01).",
            gap < 1e-2,
        ),
        *_screens(results),
    ]


def where_it_moves(blocks: Sweep) -> Finding:
    """The road of the information: at which position the residual stream carries it, layer by layer, and which layer's
    attention brings it to the last one."""
    residual, attention = blocks.matrix(METRIC)[:2]
    best = [int(np.nanargmax(row)) for row in residual]
    stations = []
    for position, group in groupby(range(len(best)), key=best.__getitem__):
        own = list(group)
        effects = [float(residual[layer, position]) for layer in own]
        low, high = f"{min(effects):.2f}", f"{max(effects):.2f}"
        spread = low if low == high else f"{low} to {high}"
        stations.append(f"at {role(position)} at the start of {layers(own[0], own[-1])} (effect {spread})")
    layer = int(np.nanargmax(attention[:, -1]))
    return Finding(
        f"Where the answer moves: who is giving stands {', then '.join(stations)}. Of all layers' attention that of "
        f"layer {layer} brings most of it to the last word, where the answer is said ({attention[layer, -1]:.2f})."
    )


def role(position: int) -> str:
    """A position by its part in the sentence."""
    return "the last word" if position == len(ROLES) - 1 else f"position {position}, the {ROLES[position]},"


def idle_heads(results: IoiResults) -> Sequence[Mapping[str, str | float]]:
    """The heads that move the answer by less than ``NO_EFFECT`` either way, with both effects."""
    return [
        {"head": f"head {head} of layer {layer}", "denoising": denoised, "noising": noised}
        for layer, head, denoised, noised in _idle(results)
    ]


def _idle(results: IoiResults) -> Iterator[tuple[int, int, float, float]]:
    denoised, noised = (results.sweeps[f"head_out_all_pos ({name})"].matrix(METRIC) for name in ("denoise", "noise"))
    for (layer, head), effect in np.ndenumerate(denoised):
        if max(abs(effect), abs(noised[layer, head])) < NO_EFFECT:
            yield layer, head, float(effect), float(noised[layer, head])


def idle_sentence(results: IoiResults) -> str:
    """How many heads have no effect, and which."""
    idle = {(layer, head) for layer, head, *_ in _idle(results)}
    n_layers, n_heads = results.sweeps["head_out_all_pos (denoise)"].matrix(METRIC).shape
    told = []
    for layer in range(n_layers):
        own = [str(head) for head in range(n_heads) if (layer, head) in idle]
        if own:
            which = "all" if len(own) == n_heads else f"head{'s' if own[1:] else ''} {', '.join(own)}"
            told.append(f"{which} of layer {layer}")
    listed = "; ".join(told[:LAYERS_NAMED]) + ("; and more, in the table of heads" if told[LAYERS_NAMED:] else "")
    return (
        f"Of {n_layers * n_heads} heads {len(idle)} have no effect by themselves (below {NO_EFFECT} either way)"
        f"{f': {listed}' if told else ''}."
    )


def named_heads(heads: Sweep) -> Mapping[str, str]:
    """The patched heads in words, by label."""
    return {patch.label: place(patch).removeprefix("output of ") for patch in heads.patches}


def screened(sweeps: str) -> str:
    """Sweeps that were screened, in words."""
    return " and ".join(SCREENED.get(name, name) for name in sweeps.split(" and "))


def _strongest(heads: Sweep) -> Iterator[Finding]:
    names = named_heads(heads)
    for by, does in (("positive", "this brings most of the answer back"), ("negative", "this works most against it")):
        for label, effect in heads.ranked(METRIC, by, 1):
            yield Finding(f"Of what single heads write, {does} when denoised: {names[label]}, {effect:+.2f}.")


def _screens(results: IoiResults) -> Iterator[Finding]:
    for s in results.screens:
        yield Finding(
            f"A quick estimate from gradients (attribution patching) of the {screened(s.sweep)} at each position: its "
            f"correlation with the exact effects is {s.with_fix:.3f} with the correction for attention (QK fix; "
            f"threshold: at least {LOWEST_CORRELATION}), {s.without_fix:.3f} without; by chance it would be 0.",
            s.with_fix >= LOWEST_CORRELATION and s.with_fix > s.without_fix,
        )
