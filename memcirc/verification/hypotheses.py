"""The circuit hypothesis, tested (after Shi et al. 2024; statistics: :mod:`memcirc.verification.hypothesis_tests`).

m(C; x) is the metric of pair x under circuit C, M has all edges, f is the faithfulness of means, |1 - f| the distance
from the model. References are random connected circuits of C's size.

- ``equivalence``. Null: m(C; x) > m(M; x) and m(C; x) < m(M; x) are equally likely. Sign test; rejected means that C
  is not equivalent to the model. ``equivalence within .1`` is the paper's: that either is likelier by up to .1 is part
  of the null, so that a circuit is rejected less readily.
- ``sufficiency``. Null: C is closer to the model than a reference with probability at most q = 0.9. Exceedance test
  over references.
- ``partial necessity``. Null: knocking C out moves the model further than knocking out a reference with probability at
  most q = 0.9. Exceedance test over references, on |1 - f| of the complements.
- ``minimality``. Null, for every edge e of C: knocking e out of C moves m further than knocking an added edge out of C
  plus a random path with probability at most 1/2. One exceedance test an edge, Holm-corrected; p is the largest.
- ``independence``. Null: what the model outputs without C is independent of what it outputs. HSIC permutation test on
  the answers' logits; rejected means that C does not hold all of it.

Tests that compare pairs compare the means of groups of them that share a document or a family
(:meth:`memcirc.pairs.record.Pairs.components`), which move together. Beside each test stands what it would have found
(:mod:`memcirc.verification.power`).
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memcirc.statistics import coincide
from memcirc.verification.check import Job, Work
from memcirc.verification.drawing import Paths, connected_circuits
from memcirc.verification.hypothesis_tests import (
    LEVEL,
    MARGIN,
    exceedance_test,
    fewest_for_exceedance,
    holm,
    hsic_test,
    margin_test,
    sign_test,
)
from memcirc.verification.power import detectable_probability, detectable_share
from memcirc.verification.random_circuits import per_pair_of_many
from memcirc.verification.record import OfPairs
from memcirc.verification.subject import Outline, Subject

SHARE = 0.9
HALF = 0.5


@dataclass(frozen=True)
class HypothesisTest(OfPairs):
    """One test: its null, effect, p-value and number of comparisons ``n``; ``rejected`` at 5 %.

    ``supports`` says whether the outcome speaks for the circuit, or None where it does neither: a null that stands, of
    ``equivalence`` and ``independence``, may stand for lack of power. ``detectable``: from where on the effect, of the
    kind that ``detectable_is`` names, would have been found in 80 % of all cases (None: nowhere). ``detail`` holds what
    else was computed.
    """

    KEY = "tests"

    test: str
    null: str
    n_edges: int
    effect: float
    effect_is: str
    p_value: float
    n: int
    rejected: bool
    supports: bool | None
    detectable: float | None = None
    detectable_is: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Hypothesis:
    """A null in words, what the effect is, and what could have been detected. ``hoped``: the null is what one hopes
    for, so that the test can speak against the circuit alone: where it stands nothing is said."""

    test: str
    null: str
    effect_is: str
    detectable_is: str
    hoped: bool = False


HIGHER = "share of untied groups of pairs on which the circuit is higher"
EQUIVALENCE = Hypothesis(
    "equivalence", "circuit and model beat each other equally often", HIGHER, "the larger of both shares", hoped=True
)
WITHIN_MARGIN = Hypothesis(
    f"equivalence within {MARGIN:g}", f"neither beats the other with a probability above {HALF + MARGIN:g}", HIGHER,
    "the larger of both shares", hoped=True,
)  # fmt: skip
SUFFICIENCY = Hypothesis(
    "sufficiency", f"closer to the model than a random circuit with probability at most {SHARE:g}",
    "share of random circuits that are further from the model", "that share",
)  # fmt: skip
PARTIAL_NECESSITY = Hypothesis(
    "partial necessity", f"its knock-out moves more than a random one's, probability at most {SHARE:g}",
    "share of random circuits whose knock-out moves less", "that share",
)  # fmt: skip
MINIMALITY = Hypothesis(
    "minimality", "an edge's knock-out moves more than an added one's with probability at most 1/2",
    "share of edges whose own null is rejected", "share of added edges that each edge must move more than",
)  # fmt: skip
INDEPENDENCE = Hypothesis(
    "independence", "the model's output without the circuit is independent of its whole output", "HSIC",
    "share of the whole output in what is left", hoped=True,
)  # fmt: skip


def equivalence(subject: Subject) -> HypothesisTest:
    """The sign test over groups of pairs; ValueError where circuit and model differ on too few."""
    return _sides(subject, EQUIVALENCE, sign_test)


def equivalence_within_margin(subject: Subject) -> HypothesisTest:
    """The same with the paper's margin."""
    return _sides(subject, WITHIN_MARGIN, margin_test)


def _sides(subject: Subject, hypothesis: Hypothesis, test: Callable[[int, int], float]) -> HypothesisTest:
    """A test of how often the circuit is higher than the model, and how often lower."""
    runner, metric = subject.runner(), subject.settings.metric
    found = _of_groups(subject, runner.per_pair([subject.circuit], metric)[0].double().cpu())
    whole = _of_groups(subject, runner.end_values(metric)[1].double().cpu())
    difference = found - whole
    tied = torch.from_numpy(coincide(found, whole, runner.ends(metric).resolution))
    wins, losses = int(((difference > 0) & ~tied).sum()), int(((difference < 0) & ~tied).sum())
    n = wins + losses
    p = test(wins, losses)
    detectable = detectable_probability(lambda k: test(k, n - k), n, HALF)
    return _result(subject, hypothesis, wins / n, p, n, detectable, {"ties": int(tied.sum())})


def _of_groups(subject: Subject, values: Tensor) -> Tensor:
    """float64 [groups, ...]: the means of values [pairs, ...] over pairs that share a document or a family."""
    return torch.stack([values[members].mean(0) for members in subject.pairs.components()])


def sufficiency(subject: Subject) -> HypothesisTest:
    """The exceedance test on distances of circuits; ValueError for too few random ones."""
    found, references = _distances(subject, subject.mask[None]), _distances(subject, _references(subject))
    return _exceeding(subject, SUFFICIENCY, found, references, int((references > found).sum()))


def partial_necessity(subject: Subject) -> HypothesisTest:
    """The exceedance test on distances of complements; ValueError for too few random circuits."""
    found, references = _distances(subject, ~subject.mask[None]), _distances(subject, ~_references(subject))
    return _exceeding(subject, PARTIAL_NECESSITY, found, references, int((references < found).sum()))


def _exceeding(
    subject: Subject, hypothesis: Hypothesis, found: Tensor, references: Tensor, exceeded: int
) -> HypothesisTest:
    """The test of a distance, float64 [1], that exceeds so many of the references', float64 [circuits]."""
    n = len(references)
    detail = {"distance": float(found[0]), "reference_median": float(references.median())}
    detectable = detectable_probability(lambda k: exceedance_test(k, n, SHARE), n, SHARE)
    return _result(subject, hypothesis, exceeded / n, exceedance_test(exceeded, n, SHARE), n, detectable, detail)


def minimality(subject: Subject) -> HypothesisTest:
    """One exceedance test an edge, Holm-corrected; ValueError for an empty circuit, or too few inflated circuits for
    its number of edges."""
    edges = subject.mask.nonzero()[:, 0]
    if not len(edges):
        raise ValueError("minimality of a circuit of 0 edges is not defined")
    n = max(subject.settings.n_random, 1)
    fewest = fewest_for_exceedance(HALF, LEVEL / len(edges))
    if n < fewest:
        raise ValueError(f"{n} inflated circuits; Holm's correction over {len(edges)} edges needs at least {fewest}")
    own = subject.mask.repeat(len(edges), 1)
    own[torch.arange(len(edges)), edges] = False
    inflated, without = _inflated(subject, n)
    runner, metric = subject.runner(), subject.settings.metric
    masks = torch.cat([subject.mask[None], own, inflated, without])
    values = torch.from_numpy(runner.ends(metric).faithfulness(per_pair_of_many(runner, masks, metric).mean(1)))
    whole, knocked = values[0], values[1 : 1 + len(edges)]
    reference = (values[1 + len(edges) : 1 + len(edges) + n] - values[1 + len(edges) + n :]).abs()
    effects = (knocked - whole).abs()
    p_values = [exceedance_test(int((e > reference).sum()), n, HALF) for e in effects]
    adjusted = holm(p_values)
    kept = sum(p <= LEVEL for p in adjusted)
    weakest = [int(i) for i in np.argsort(effects.numpy(), kind="stable")[:5]]
    detail = {
        "median_effect": float(effects.median()),
        "reference_median": float(reference.median()),
        "weakest": [
            {"edge": subject.graph.edges[int(edges[i])], "effect": float(effects[i]), "p_value": adjusted[i]}
            for i in weakest
        ],
    }
    level = LEVEL / len(edges)
    detectable = detectable_probability(lambda k: exceedance_test(k, n, HALF, level), n, HALF, level)
    return _result(subject, MINIMALITY, kept / len(edges), max(adjusted), n, detectable, detail)


def independence(subject: Subject) -> HypothesisTest:
    """The permutation test of what is left without the circuit; ValueError for too few groups of pairs."""
    runner = subject.runner()
    masks = torch.stack([~subject.mask, torch.ones_like(subject.mask)])
    logits = runner.logits(masks, answers_only=True).double().cpu()
    without, whole = (_of_groups(subject, each).numpy() for each in logits)
    value, p = hsic_test(without, whole, subject.settings.n_permutations, subject.settings.seed)
    detectable = detectable_share(without, whole, subject.settings.seed)
    return _result(subject, INDEPENDENCE, value, p, len(whole), detectable, {})


def _references(subject: Subject) -> Tensor:
    generator = torch.Generator().manual_seed(subject.settings.seed)
    return connected_circuits(subject.graph, len(subject.circuit), subject.settings.n_random, generator)


def _distances(subject: Subject, masks: Tensor) -> Tensor:
    """float64 [circuits]: |1 - f|."""
    runner, metric = subject.runner(), subject.settings.metric
    found = runner.ends(metric).faithfulness(per_pair_of_many(runner, masks, metric).mean(1))
    return torch.from_numpy(np.abs(1 - found))


def _inflated(subject: Subject, n: int) -> tuple[Tensor, Tensor]:
    """bool [2][n, n_edges]: the circuit with a random path added, and the same without one of the added edges."""
    paths = Paths(subject.graph, random.Random(subject.settings.seed))
    mask = subject.mask
    if bool(mask.all()):
        raise ValueError("the circuit has every edge of the graph; nothing can be added to it")
    inflated = mask.repeat(n, 1)
    without = []
    for row in inflated:
        added: list[int] = []
        while not added:
            added = [edge for edge in paths.path() if not mask[edge]]
        row[added] = True
        less = row.clone()
        less[paths.draw.choice(added)] = False
        without.append(less)
    return inflated, torch.stack(without)


def _result(
    subject: Subject,
    hypothesis: Hypothesis,
    effect: float,
    p: float,
    n: int,
    detectable: float | None,
    detail: Mapping[str, Any],
) -> HypothesisTest:
    rejected = p <= LEVEL
    return HypothesisTest(
        test=hypothesis.test,
        null=hypothesis.null,
        way=subject.runner().way(subject.settings.metric),
        n_edges=len(subject.circuit),
        effect=effect,
        effect_is=hypothesis.effect_is,
        p_value=p,
        n=n,
        rejected=rejected,
        supports=(False if rejected else None) if hypothesis.hoped else rejected,
        detectable=detectable,
        detectable_is=hypothesis.detectable_is,
        detail=detail,
    )


TESTS = (equivalence, equivalence_within_margin, sufficiency, partial_necessity, minimality, independence)


def _jobs(_: Outline) -> Iterator[Job]:
    for test in TESTS:
        yield Job(f"test of {test.__name__.replace('_', ' ')}", partial(_tested, test))


def _tested(test: Callable[[Subject], HypothesisTest], subject: Subject) -> list[HypothesisTest]:
    return [test(subject)]


WORK = Work((HypothesisTest,), _jobs)
