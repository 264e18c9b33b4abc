"""Faithfulness of a circuit with everything a reader must be told beside it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from torch import Tensor

from memcirc.circuits.runner import AnyCircuit, CircuitRunner
from memcirc.statistics import normalised
from memcirc.verification.check import Job, Work
from memcirc.verification.record import OfPairs
from memcirc.verification.resampling import RESAMPLES, faithfulness_interval
from memcirc.verification.subject import Outline, Subject

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
WORST_SHOWN = 5


@dataclass(frozen=True)
class Measurement(OfPairs):
    """One circuit, one way to run it, one data set.

    ``faithfulness`` is the ratio of means over pairs (None where it is not defined; ``note`` says why), ``low`` and
    ``high`` bound its 95 % bootstrap interval over documents (None where there are too few); ``nothing`` and
    ``everything`` are the ends it is normalised with; ``mean_ratio`` and ``median_ratio`` are over the pairs' own
    ratios, diagnostics; ``correct`` is the share of pairs whose answer is the argmax under the circuit,
    ``correct_everything`` with all edges of its kind at work.
    """

    KEY = "faithfulness"

    n_edges: int
    n_pairs: int
    value: float
    nothing: float
    everything: float
    faithfulness: float | None
    low: float | None
    high: float | None
    mean_ratio: float | None
    median_ratio: float | None
    correct: float
    correct_everything: float
    note: str


@dataclass(frozen=True)
class Distribution(OfPairs):
    """The pairs' own ratios, of one circuit in one way to run it.

    ``quantiles``: of the finite ones; ``undefined`` counts pairs whose own ends coincide; ``outside`` is the share of
    pairs that fall on the other side of the nothing end (a ratio below 0). ``worst`` lists the pairs of the lowest
    ratios, with what they are; ``ratios`` has all that are defined, by the fingerprint of the pair alone.
    """

    KEY = "distribution"

    n_edges: int
    n_pairs: int
    quantiles: Mapping[str, float]
    outside: float
    undefined: int
    worst: Sequence[Mapping[str, Any]]
    ratios: Mapping[str, float] = field(default_factory=dict)


def measure(
    runner: CircuitRunner,
    circuit: AnyCircuit,
    metric: str = "logit_diff",
    seed: int = 0,
    n_resamples: int = RESAMPLES,
) -> Measurement:
    """Run one circuit and state the result; an undefined faithfulness is stated, not raised.

    ``seed`` and ``n_resamples`` are the bootstrap's.
    """
    per_pair = runner.per_pair([circuit], metric)[0].double()
    ends, note = runner.ends(metric), runner.settings.caveat
    try:
        faithfulness = float(ends.faithfulness(per_pair.mean().cpu()))
    except ValueError as error:
        faithfulness, note = None, str(error)
    try:
        bounds = faithfulness_interval(
            runner.pairs, per_pair, runner.end_values(metric), seed, n_resamples, ends.resolution
        )
    except ValueError:
        bounds = None
    ratios = pair_ratios(runner, per_pair, metric)
    ratios = ratios[np.isfinite(ratios)]
    return Measurement(
        way=runner.way(metric),
        n_edges=len(circuit),
        n_pairs=len(runner.pairs),
        value=float(per_pair.mean()),
        nothing=ends.nothing,
        everything=ends.everything,
        faithfulness=faithfulness,
        low=None if bounds is None else bounds.low,
        high=None if bounds is None else bounds.high,
        mean_ratio=float(ratios.mean()) if len(ratios) else None,
        median_ratio=float(np.median(ratios)) if len(ratios) else None,
        correct=float(runner.per_pair([circuit], "correct").double().mean()),
        correct_everything=runner.ends("correct").everything,
        note=note,
    )


def pair_ratios(runner: CircuitRunner, per_pair: Tensor, metric: str) -> np.ndarray:
    """float64 [pairs]: each pair's own faithfulness, NaN where its own ends coincide."""
    nothing, everything = runner.end_values(metric).cpu()
    return normalised(per_pair.cpu(), nothing, everything, runner.resolution(metric))


def distribution(runner: CircuitRunner, circuit: AnyCircuit, metric: str = "logit_diff") -> Distribution:
    """How a circuit's faithfulness is spread over pairs, and on which pairs it is worst.

    Raises:
        ValueError: no pair has ends that differ.
    """
    per_pair = runner.per_pair([circuit], metric)[0].double().cpu()
    ratios = pair_ratios(runner, per_pair, metric)
    usable = np.flatnonzero(np.isfinite(ratios))
    if not len(usable):
        raise ValueError(f"none of {len(ratios)} pairs has ends of {metric} that differ")
    nothing, everything = runner.end_values(metric).double().cpu().tolist()
    worst = usable[np.argsort(ratios[usable], kind="stable")][:WORST_SHOWN]
    quantiles = np.quantile(ratios[usable], QUANTILES).tolist()
    return Distribution(
        way=runner.way(metric),
        n_edges=len(circuit),
        n_pairs=len(ratios),
        quantiles={f"{q:g}": value for q, value in zip(QUANTILES, quantiles, strict=True)},
        outside=float((ratios[usable] < 0).mean()),
        undefined=len(ratios) - len(usable),
        worst=[
            {
                "pair": int(i),
                "doc_id": runner.pairs[int(i)].doc_id,
                "copies": runner.pairs[int(i)].copies,
                "ends_with": runner.pairs[int(i)].clean[-40:],
                "answer": "/".join(runner.pairs[int(i)].answers),
                "ratio": float(ratios[i]),
                "value": float(per_pair[i]),
                "nothing": nothing[i],
                "everything": everything[i],
            }
            for i in worst
        ],
        ratios={runner.pairs[i].fingerprint: float(ratios[i]) for i in usable.tolist()},
    )


def _jobs(outline: Outline) -> Iterator[Job]:
    """Every ablation in every direction, then the distributions."""
    for ablation, reverse in product(outline.ablations, outline.directions):
        yield Job(outline.label(ablation, reverse), partial(_measured, ablation=ablation, reverse=reverse))
    for reverse in outline.directions:
        yield Job(outline.label(outline.ablation, reverse), partial(_distributed, reverse=reverse))


def _measured(subject: Subject, ablation: str, reverse: bool) -> list[Measurement]:
    settings = subject.settings
    runner = subject.runner(ablation, reverse)
    return [measure(runner, subject.circuit, settings.metric, settings.seed, settings.n_resamples)]


def _distributed(subject: Subject, reverse: bool) -> list[Distribution]:
    return [distribution(subject.runner(reverse=reverse), subject.circuit, subject.settings.metric)]


WORK = Work((Measurement, Distribution), _jobs)
