"""What the PII study finds, as its page shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from memcirc.patching.restoring import PairEffect, Restored
from memcirc.patching.result import Sweep
from memcirc.studies.pii.alignment import SwappedAlignment
from memcirc.studies.pii.circuit_results import InjectedCircuits, NoCircuits
from memcirc.studies.pii.samples import Sample
from memcirc.studies.words import at_layer, part

INTO, OUT_OF = "target into control", "control into target (suppression)"
NATS = "change of the answer's log-probability (nats)"


@dataclass(frozen=True)
class Recall:
    """How one group of samples is recited by one model."""

    model: str
    group: str
    n: int
    exact: int
    mean_logprob: float


@dataclass(frozen=True)
class SiteEffect:
    """A site's mean effect on the answer's log-probability over the analysed passages, in nats, its 95 % interval, the
    share of the gap between the models, and how many answers become exact. ``alias_of`` names the site that was
    computed in its place."""

    hook: str
    kind: str
    layer: int | None
    effect: float
    low: float
    high: float
    share: float
    exact: float
    alias_of: str | None


@dataclass(frozen=True)
class Separation:
    """Residual streams at the end of the prompt: silhouette of memorized against other passages by layer and model, and
    coordinates of both groups at the layer where they separate best in the target."""

    layers: tuple[int, ...]
    silhouettes: dict[str, tuple[float, ...]]
    best_layer: int
    memorized: np.ndarray
    pca: dict[str, np.ndarray]
    pca_shares: dict[str, np.ndarray]


@dataclass(frozen=True)
class PiiResults:
    """What was measured on two models.

    ``samples`` all passages, ``analysed`` those that the target alone recites; ``sweeps`` and ``effects`` by direction
    (:data:`INTO`, :data:`OUT_OF`); ``token_effects`` and ``copies`` by site and by number of copies, ``ends`` the mean
    log-probability of the answers in either model, ``heads`` [output or pattern, layer, head] in nats (NaN where none
    was patched), ``patterns`` the attention of the strongest by title, ``direct`` by model and part, ``paths`` by name;
    ``path_matrix`` [sender, receiver] over ``path_nodes``; ``restored`` the set that reaches ``restored_goal``;
    ``agreement`` the share of passages on which generation and teacher forcing say the same; ``circuits`` those of the
    analysed passages, with the control as twin, or why there are none; ``misaligned`` None without such a control.
    """

    samples: Sequence[Sample]
    analysed: Sequence[Sample]
    recall: Sequence[Recall]
    alignment: SwappedAlignment
    sweeps: Mapping[str, Sweep]
    effects: Mapping[str, Sequence[SiteEffect]]
    token_effects: Mapping[str, Sequence[float]]
    ends: Mapping[str, float]
    heads: np.ndarray
    patterns: Mapping[str, np.ndarray]
    pattern_tokens: Sequence[str]
    direct: Mapping[str, Mapping[str, np.ndarray]]
    paths: Mapping[str, float]
    path_matrix: np.ndarray
    path_nodes: Sequence[str]
    restored: Restored
    restored_goal: float
    pairs: Sequence[PairEffect]
    copies: Mapping[str, Sequence[float]]
    separation: Separation | None
    variants: Sequence[Mapping[str, Any]]
    generations: Sequence[Mapping[str, str]]
    agreement: float
    circuits: InjectedCircuits | NoCircuits
    misaligned: SwappedAlignment | None
    misaligned_effects: Sequence[SiteEffect]


def in_words(results: PiiResults, *hooks: str) -> str:
    """Sites in words, by their hooks."""
    named = {e.hook: part(e.kind) if e.layer is None else at_layer(e.kind, e.layer) for e in results.effects[INTO]}
    return ", ".join(named.get(hook, hook) for hook in hooks)


def after_blocks(effects: Sequence[SiteEffect]) -> list[SiteEffect]:
    """Those of the residual stream after each block, in order."""
    return [e for e in effects if e.kind == "resid_post"]
