"""Faithfulness of a circuit with everything a reader must be told beside it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from memcirc.circuits.runner import AnyCircuit, CircuitRunner


@dataclass(frozen=True)
class Measurement:
    """One circuit, one way to run it, one data set.

    ``faithfulness`` is the ratio of means over pairs (None where it is not defined; ``note`` says why); ``nothing`` and
    ``everything`` are the ends it is normalised with; ``median_ratio`` is the median of the pairs' own ratios, a
    diagnostic; ``correct`` is the share of pairs whose answer is the argmax under the circuit, ``correct_everything``
    with all edges of its kind at work.
    """

    mode: str
    ablation: str
    reverse: bool
    direction: str
    base: str
    metric: str
    n_edges: int
    n_pairs: int
    value: float
    nothing: float
    everything: float
    faithfulness: float | None
    median_ratio: float | None
    correct: float
    correct_everything: float
    note: str

    def row(self) -> Mapping[str, Any]:
        return asdict(self)


def measure(runner: CircuitRunner, circuit: AnyCircuit, metric: str = "logit_diff") -> Measurement:
    """Run one circuit and state the result; an undefined faithfulness is stated, not raised."""
    settings = runner.settings
    per_pair = runner.per_pair([circuit], metric)[0].double()
    ends, note = runner.ends(metric), settings.caveat
    try:
        faithfulness = float(ends.faithfulness(per_pair.mean().cpu()))
    except ValueError as error:
        faithfulness, note = None, str(error)
    return Measurement(
        mode=settings.mode,
        ablation=settings.ablation,
        reverse=settings.reverse,
        direction=settings.direction,
        base=settings.base,
        metric=metric,
        n_edges=len(circuit),
        n_pairs=len(runner.pairs),
        value=float(per_pair.mean()),
        nothing=ends.nothing,
        everything=ends.everything,
        faithfulness=faithfulness,
        median_ratio=_median_ratio(runner, per_pair, metric),
        correct=float(runner.per_pair([circuit], "correct").double().mean()),
        correct_everything=runner.ends("correct").everything,
        note=note,
    )


def _median_ratio(runner: CircuitRunner, per_pair: Tensor, metric: str) -> float | None:
    """Median over pairs of each pair's own faithfulness; pairs whose own ends coincide are left out."""
    nothing, everything = runner.end_values(metric)
    span = (everything - nothing).double()
    usable = span.abs() > 1e-6 * span.abs().max()
    if not usable.any():
        return None
    return float(((per_pair - nothing.double())[usable] / span[usable]).median())
