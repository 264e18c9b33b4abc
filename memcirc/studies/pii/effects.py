"""Effects of patches between the two models: of every site, token, head and path, and by copies."""

from collections.abc import Sequence

import numpy as np

from memcirc.metrics import TOKEN
from memcirc.patching.patches import Patch
from memcirc.patching.paths import INPUT, LOGITS, PathPatching
from memcirc.patching.result import Sweep
from memcirc.patching.sites import Site
from memcirc.statistics import drawn_counts, grouped, resampled_means
from memcirc.studies.pii.results import SiteEffect
from memcirc.studies.pii.samples import Sample
from memcirc.studies.pii.two_models import EXACT, LOGPROB, TwoModels

OF_HEADS = ("z", "pattern")
NO_EFFECT, LEAST_LAYERS = 0.02, 4
MOST_NODES = 24
NODES = {"attn_out": "a", "mlp_out": "m"}
"""The nodes of paths by the kinds of their sites."""


def site_effects(
    two: TwoModels, sweep: Sweep, samples: Sequence[Sample], analysed: Sequence[Sample]
) -> list[SiteEffect]:
    """Every site of the study with its effect over some samples, aliases with that of their leader.

    Args:
        sweep: of the distinct sites; samples: those that it was measured on, in its order.
        analysed: the samples that count.
    """
    rows = [i for i, sample in enumerate(samples) if sample in analysed]
    change = sweep.changes(LOGPROB)[:, rows]
    gap = (sweep.source[LOGPROB] - sweep.base[LOGPROB])[rows].mean()
    counts = drawn_counts(grouped(samples[row].prompt for row in rows), 1000, seed=0)
    low, high = np.quantile(resampled_means(counts, change), [0.025, 0.975], axis=0)
    number = {patch.sites[0]: i for i, patch in enumerate(sweep.patches)}
    found = []
    for where in two.sites:
        leader = two.leaders[where]
        i = number[leader]
        found.append(
            SiteEffect(
                where.hook, where.kind, where.layer, float(change[i].mean()), float(low[i]), float(high[i]),
                float(change[i].mean() / gap) if gap else float("nan"), float(sweep.values[EXACT][i, rows].mean()),
                None if leader == where else leader.hook,
            )
        )  # fmt: skip
    return found


def effect_of(effects: Sequence[SiteEffect], where: Site) -> float:
    """The effect of one site among those of all."""
    return next(e.effect for e in effects if e.hook == where.hook)


def token_effects(sweep: Sweep, rows: Sequence[int]) -> dict[str, list[float]]:
    """Mean effect of every distinct site on the log-probability of each token of some examples' answers."""
    steps = [metric for metric in sweep.values if metric.startswith(TOKEN)]
    found = {}
    for i, patch in enumerate(sweep.patches):
        changes = [sweep.changes(m)[i, list(rows)] for m in steps]
        found[patch.label] = [float(np.nanmean(c)) if np.isfinite(c).any() else float("nan") for c in changes]
    return found


def head_sites(effects: Sequence[SiteEffect], n_heads: int, every: bool) -> list[Site]:
    """Each head's output alone, and each one's pattern, in the layers in which those of all heads together have an
    effect: ``NO_EFFECT`` of the gap or more, and always in the ``LEAST_LAYERS`` in which it is strongest.

    Args:
        every: in all layers.
    """
    found = []
    for kind in OF_HEADS:
        strongest = sorted((e for e in effects if e.kind == kind), key=lambda e: -abs(e.share))
        chosen = [e for i, e in enumerate(strongest) if every or i < LEAST_LAYERS or abs(e.share) >= NO_EFFECT]
        layers = sorted(e.layer for e in chosen if e.layer is not None)
        found += [Site(kind, layer, None, (head,)) for layer in layers for head in range(n_heads)]
    return found


def head_effects(two: TwoModels, samples: Sequence[Sample], sites: Sequence[Site]) -> np.ndarray:
    """float [2, layer, head]: mean effect of each head's output and pattern; NaN where it is not among the sites."""
    shape = two.control.weights.graph.shape
    effects = np.full((len(OF_HEADS), shape.n_layers, shape.n_heads), np.nan)
    for where, gain in zip(sites, two.gain([Patch((where,)) for where in sites], samples), strict=True):
        effects[OF_HEADS.index(where.kind), where.layer, where.heads] = gain
    return effects


def named_paths(paths: PathPatching) -> dict[str, float]:
    """Effects along the road from the input through the first attention and a middle MLP, and of its parts."""
    middle = f"m{min(3, paths.shape.n_layers - 1)}"
    named = (
        ("input", "a0", middle, LOGITS), ("a0", middle, LOGITS), (middle, LOGITS), ("a0", LOGITS), ("input", LOGITS),
        ("input", middle, LOGITS), ("input", "a0", LOGITS),
    )  # fmt: skip
    base = paths.base_values()[0]
    return {" → ".join(path): float((paths.effect(path)[0] - base).mean()) for path in named}


def strongest_nodes(paths: PathPatching, effects: Sequence[SiteEffect]) -> list[str]:
    """The input and the ``MOST_NODES`` components with the strongest effects by themselves, in order."""
    alone = {f"{NODES[e.kind]}{e.layer}": abs(e.effect) for e in effects if e.kind in NODES}
    chosen = {INPUT, *sorted(paths.nodes[1:], key=lambda node: -alone.get(node, 0.0))[:MOST_NODES]}
    return [node for node in paths.nodes if node in chosen]


def path_matrix(paths: PathPatching, nodes: Sequence[str]) -> np.ndarray:
    """Sender x receiver: the effect of the path sender -> receiver -> logits; on the diagonal sender -> logits."""
    base = paths.base_values()[0]
    matrix = np.full((len(nodes), len(nodes)), np.nan)
    for i, sender in enumerate(nodes):
        for j, receiver in enumerate(nodes):
            path = (sender, LOGITS) if i == j else (sender, receiver, LOGITS)
            if i == j or (j > i and paths.has_edge(sender, receiver)):
                matrix[i, j] = float((paths.effect(path)[0] - base).mean())
    return matrix


def effects_by_copies(sweep: Sweep, samples: Sequence[Sample]) -> dict[str, list[float]]:
    """Mean effect of every distinct site, for each number of copies."""
    change = sweep.changes(LOGPROB)
    known = sorted({s.copies for s in samples if s.copies is not None})
    return {
        str(copies): change[:, [i for i, s in enumerate(samples) if s.copies == copies]].mean(1).tolist()
        for copies in known
    }
