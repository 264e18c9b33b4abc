"""Attribution patching: every effect of a sweep estimated from one backward pass, as a screen before exact patching.

1. AtP (Nanda 2023): the effect of writing s where the base run has a is about <s - a, dM/da>, M the metric.
2. QK fix (Kramar et al. 2024, AtP*): attention saturates, so a query's or key's effect is not linear in it. The
   pattern that it would make is computed exactly, and only what follows is linearised:
   <pattern' - pattern, dM/dpattern>.
3. GradDrop (same): effects through different layers can cancel in the gradient. For each layer the gradient is taken
   once with that layer's outputs held constant; the estimate is the mean of the absolute values. It has no sign.

An estimate is no measurement: :func:`check_screen` measures the highest-ranked patches and a random sample exactly, and
states correlation and recall.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.attention import final_scores, spread
from memcirc.patching.engine import slow_reason
from memcirc.patching.forward import Taps
from memcirc.patching.measures import Question
from memcirc.patching.patches import Patch
from memcirc.patching.runs import Activations, RunPair, attended, embedded, run_embeds
from memcirc.patching.sides import Comparison
from memcirc.patching.sites import KEY, KINDS, PATTERN, QUERY, Site
from memcirc.patching.writes import canonical, has_places

ATTENTION = ("pattern", "q", "k", "rot_q", "rot_k")


class _Graph(Taps):
    """Keeps every wanted place in the graph of the computation; one layer's outputs may be held constant."""

    def __init__(self, kinds: Sequence[str], dropped: int | None) -> None:
        self.kinds, self.dropped = frozenset(kinds), dropped
        self.found: dict[tuple[str, int], Tensor] = {}

    def at(self, kind: str, layer: int, value: Tensor) -> Tensor:
        if kind in self.kinds:
            self.found[kind, layer] = value
        return value.detach() if layer == self.dropped and KINDS[kind].branch else value

    def pattern(self, kind: str, layer: int, segment: int, value: Tensor) -> Tensor:
        return self.at(kind, layer, value)


def screen(
    comparison: Comparison, patches: Sequence[Patch], question: Question, qk_fix: bool = True, grad_drop: bool = False
) -> Float[Tensor, "patch batch"]:
    """Estimated change of the (single, differentiable) metric by each patch, on every example; NaN where an
    example lacks a position that the patch names.

    Raises:
        ValueError: more than one metric; a patch that is not a replacement at places of the fast engine.
    """
    if len(question.metrics) != 1:
        raise ValueError(f"a screen estimates one metric, not {len(question.metrics)}")
    for patch in patches:
        reason = slow_reason(patch, False) or ("" if patch.operation == "replace" else "only replacements are screened")
        if reason:
            raise ValueError(f"{patch.label}: {reason}")
    n_layers = comparison.n_layers
    kinds = {canonical(where, n_layers)[0] for patch in patches for where in patch.sites}
    if any(KINDS[kind].before_blocks for kind in kinds):
        raise ValueError("embeddings are not screened; resid_pre of layer 0 is their sum")
    wanted = sorted(kinds | (set(ATTENTION) if any(KINDS[kind].through in (QUERY, KEY) for kind in kinds) else set()))
    runs = comparison.record(wanted)
    missing = ~has_places(patches, comparison.base.prompts.lengths)
    if not grad_drop:
        gradients = _gradients(comparison, question, wanted, None)
        estimates = _estimates(runs, patches, gradients, qk_fix)
        return estimates.masked_fill(missing, torch.nan)
    total = torch.zeros(len(patches), len(comparison.base.prompts), dtype=torch.float64, device=runs.base.final.device)
    for layer in range(n_layers):
        gradients = _gradients(comparison, question, wanted, layer)
        total += _estimates(runs, patches, gradients, qk_fix).abs()
    return (total / max(1, n_layers - 1)).masked_fill(missing, torch.nan)


def _gradients(
    comparison: Comparison, question: Question, kinds: Sequence[str], dropped: int | None
) -> dict[tuple[str, int], Tensor]:
    """dM/da at every wanted place of the base run, [batch, pos, ...] or [batch, head, destination, source]."""
    weights, prompts = comparison.base.weights, comparison.base.prompts
    with torch.enable_grad():
        start = embedded(weights, prompts.ids).detach().clone().requires_grad_(True)
        taps = _Graph(kinds, dropped)
        final = run_embeds(weights, start, prompts.read, taps, trim=False)
        examples = torch.arange(len(prompts), device=start.device)
        total = question.of_final(weights, final, examples).sum()
        places = list(taps.found)
        found = torch.autograd.grad(total, [taps.found[place] for place in places], allow_unused=True)
    gradients = {}
    for place, gradient in zip(places, found, strict=True):
        value = torch.zeros_like(taps.found[place]) if gradient is None else gradient
        gradients[place] = value if KINDS[place[0]].shape == PATTERN else value.unflatten(0, (len(prompts), -1))
    return gradients


def _estimates(
    runs: RunPair, patches: Sequence[Patch], gradients: Activations, qk_fix: bool
) -> Float[Tensor, "patch batch"]:
    base, source, n_layers = runs.base.found, runs.source.found, len(runs.weights.blocks)
    attention = _Attention(runs, gradients)
    linear: dict[tuple[str, int], Tensor] = {}
    rows = []
    for patch in patches:
        total = torch.zeros(len(runs.prompts), dtype=torch.float64, device=runs.prompts.ids.device)
        for where in patch.sites:
            kind, layer = canonical(where, n_layers)
            if qk_fix and KINDS[kind].through in (QUERY, KEY):
                total += attention.effect(where, kind, layer)
                continue
            if (kind, layer) not in linear:
                product = (source[kind, layer] - base[kind, layer]).double() * gradients[kind, layer]
                linear[kind, layer] = product if where.shape == PATTERN else product.sum(-1)
            total += _summed(linear[kind, layer], where)
        rows.append(total)
    return torch.stack(rows)


def _summed(effects: Tensor, where: Site) -> Float[Tensor, " batch"]:
    """Effects summed over the places of a site: [batch, pos], [batch, pos, head] or [batch, head, pos, source]."""
    for axis, places in enumerate(where.places, start=1):
        if places is not None:
            effects = effects.index_select(axis, torch.tensor(places, device=effects.device))
    return effects.flatten(1).sum(1)


class _Attention:
    """The patterns that queries or keys of the source run would make, and what they are worth."""

    def __init__(self, runs: RunPair, gradients: Activations) -> None:
        self.weights, self.base, self.source = runs.weights, runs.base.found, runs.source.found
        self.gradients = gradients
        self.known: dict[tuple[str, int], Tensor] = {}

    def scores(self, which: str, layer: int) -> Float[Tensor, "batch head query key"]:
        """Masked scores of a layer with the queries, the keys or nothing (``base``) from the source run."""
        if (which, layer) not in self.known:
            weights, (q, k) = self.weights, attended(self.weights)
            query = (self.source if which == "q" else self.base)[q, layer].transpose(1, 2)
            key = (self.source if which == "k" else self.base)[k, layer].transpose(1, 2)
            products = (query @ spread(key, weights.n_heads).transpose(-1, -2)).double()
            bias = None
            if weights.alibi is not None:
                bias = weights.alibi.at(torch.arange(products.shape[-1], device=products.device)[None])[:, :, None]
            visible = self.base["pattern", layer] > 0
            self.known[which, layer] = final_scores(weights.blocks[layer].attention, products, bias, visible)
        return self.known[which, layer]

    def effect(self, where: Site, kind: str, layer: int) -> Float[Tensor, " batch"]:
        which = "q" if KINDS[kind].through == QUERY else "k"
        scores, other = self.scores("base", layer), self.scores(which, layer)
        heads = slice(None)
        if where.heads is not None:
            group = self.weights.n_heads // (self.weights.n_heads if which == "q" else self.weights.n_kv_heads)
            assert len(where.heads) == 1, "the sweeps write one head at a time"
            heads = slice(where.heads[0] * group, (where.heads[0] + 1) * group)
        scores, other, gradient = scores[:, heads], other[:, heads], self.gradients["pattern", layer][:, heads].double()
        if where.positions is None:
            mixed = other
        else:
            places = torch.tensor(where.positions, device=scores.device)
            if which == "q":  # rows stand for themselves: the others' change is 0
                scores, other, gradient = (x.index_select(2, places) for x in (scores, other, gradient))
                mixed = other
            else:
                mixed = scores.index_copy(3, places, other.index_select(3, places))
        return ((mixed.softmax(-1) - scores.softmax(-1)) * gradient).flatten(1).sum(1)


@dataclass(frozen=True)
class ScreenCheck:
    """How far a screen can be trusted: Pearson correlation with the exact effects (of the random sample, which is
    unbiased, and of all that was measured), and the share of the exactly strongest found among the screen's top.

    ``recall`` is among what was measured: a strong patch that is in neither the top nor the sample is not seen.
    """

    n_top: int
    n_random: int
    correlation_random: float
    correlation_all: float
    recall: float


def check_screen(
    estimated: np.ndarray, measure: Callable[[Sequence[int]], np.ndarray], top: int, sample: int, seed: int = 0
) -> tuple[ScreenCheck, dict[int, float]]:
    """Measure the screen's ``top`` patches and a random ``sample`` of the others exactly.

    Args:
        estimated: float [patch], means over examples.
        measure: exact effects [len(numbers)] of the patches with the given numbers.

    Returns:
        The check, and the exact effects by patch number.
    """
    order = np.argsort(-np.abs(estimated), kind="stable")
    top = min(top, len(order))
    rest = order[top:]
    drawn = np.random.default_rng(seed).choice(rest, min(sample, len(rest)), replace=False)
    numbers = [*order[:top].tolist(), *sorted(drawn.tolist())]
    exact = measure(numbers)
    strongest = np.argsort(-np.abs(exact), kind="stable")[:top]
    return (
        ScreenCheck(
            n_top=top,
            n_random=len(drawn),
            correlation_random=correlation(estimated[numbers[top:]], exact[top:]),
            correlation_all=correlation(estimated[numbers], exact),
            recall=float(np.mean(strongest < top)),
        ),
        dict(zip(numbers, exact.tolist(), strict=True)),
    )


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's; NaN where one side does not vary."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
