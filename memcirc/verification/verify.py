"""Verify a circuit: what it keeps, in every way to run it, and what chance keeps.

Checks:

- ``faithfulness``: the circuit in every combination of ablation and direction, each with its own ends;
- ``random``: against random circuits of the same size, under resample;
- ``curve``: the ranking's prefixes over a logarithmic grid of sizes, with random circuits beside them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memcirc.artifacts import finite
from memcirc.attribution.scores import EdgeScores
from memcirc.circuit import Circuit
from memcirc.circuits.minimal import prefix_masks
from memcirc.circuits.runner import CircuitRunner, circuit_runner
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from memcirc.verification.areas import MIB_FRACTIONS, areas
from memcirc.verification.faithfulness import Measurement, measure
from memcirc.verification.random_circuits import (
    RandomComparison,
    disconnected_share,
    rank_among,
    spread,
    uniform_circuits,
)

CHECKS = ("faithfulness", "random", "curve")
CURVE_CIRCUITS = 20


@dataclass(frozen=True)
class Curve:
    """Faithfulness of the ranking's prefixes, and mean and 95th percentile of random circuits of the same sizes (empty
    where none were drawn). ``mib_areas``: :func:`memcirc.verification.areas.areas` over MIB's shares of the edges."""

    mode: str
    ablation: str
    reverse: bool
    metric: str
    sizes: Sequence[int]
    faithfulness: Sequence[float]
    random_mean: Sequence[float]
    random_q95: Sequence[float]
    mib_areas: Mapping[str, float]


@dataclass(frozen=True)
class Verification:
    """Every number with what it was measured under. ``statement`` names model, data, split, circuit and seed."""

    statement: Mapping[str, Any]
    faithfulness: Sequence[Measurement] = ()
    random: Sequence[RandomComparison] = ()
    curve: Sequence[Curve] = ()
    refused: Sequence[str] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The content as plain values, ready for a file."""
        content: dict[str, Any] = finite(asdict(self))
        return content

    def merged(self, other: "Verification") -> "Verification":
        """Both verifications' numbers under one statement."""
        return Verification(
            {**self.statement, **other.statement},
            (*self.faithfulness, *other.faithfulness),
            (*self.random, *other.random),
            (*self.curve, *other.curve),
            (*self.refused, *other.refused),
        )


@dataclass(frozen=True)
class Checks:
    """Which checks are made, on which metric, with how many random circuits and sizes.

    Raises:
        ValueError: an unknown check.
    """

    checks: Sequence[str] = CHECKS
    metric: str = "logit_diff"
    n_random: int = 100
    curve_points: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [check for check in self.checks if check not in CHECKS]
        if unknown:
            raise ValueError(f"check {unknown[0]!r} is not known; accepted: {', '.join(CHECKS)}")


def verify(
    model: Model,
    pairs: Pairs,
    circuit_or_scores: Circuit | EdgeScores,
    *,
    mode: str,
    circuit: Circuit | None = None,
    ablations: Sequence[str] = ("resample", "zero", "mean-clean", "mean-corrupt"),
    directions: Sequence[bool] = (False, True),
    reference: Pairs | None = None,
    engine: str = "native",
    **options: Any,
) -> Verification:
    """Run the checks on the given pairs (the test split).

    Args:
        circuit_or_scores: a circuit, or the scores whose prefixes make the curve.
        circuit: the circuit to measure where scores are given.
        directions: values of ``reverse``.
        reference: pairs that mean ablations average over; default: ``pairs``.
        options: fields of :class:`Checks`.

    Raises:
        ValueError: an unknown check, or neither a circuit nor a size for one. What a single check cannot do is listed
            in ``refused``; the rest is still measured.
    """
    wanted = Checks(**options)
    scores = circuit_or_scores if isinstance(circuit_or_scores, EdgeScores) else None
    subject = circuit_or_scores if isinstance(circuit_or_scores, Circuit) else circuit
    if subject is None:
        raise ValueError("scores alone name no circuit; give circuit= as well (scores.top(n), or find_minimal's)")
    result = Verification(_statement(model, pairs, reference or pairs, subject, mode, wanted.seed))
    for ablation, reverse in product(ablations, directions):
        runner = circuit_runner(
            model, pairs, mode=mode, ablation=ablation, reverse=reverse, reference=reference, engine=engine
        )
        try:
            result = result.merged(_checked(runner, subject, scores, wanted))
        except ValueError as error:
            refusal = f"{mode}, {ablation}, {runner.settings.direction}: {error}"
            result = result.merged(Verification({}, refused=(refusal,)))
    return result


def _statement(model: Model, pairs: Pairs, reference: Pairs, circuit: Circuit, mode: str, seed: int) -> dict[str, Any]:
    return {
        **model.statement(),
        "n_pairs": len(pairs),
        "split": pairs.header.get("split"),
        "bos": pairs.header.get("bos"),
        "data_fingerprint": pairs.fingerprint,
        "n_edges": len(circuit),
        "mode": mode,
        "origin": dict(circuit.origin),
        "averaging": "ratio of means over pairs",
        "means_over": f"{len(reference)} pairs ({reference.fingerprint})",
        "positions": "all edges at every position",
        "seed": seed,
    }


def _checked(runner: CircuitRunner, circuit: Circuit, scores: EdgeScores | None, wanted: Checks) -> Verification:
    """The wanted checks in one way to run circuits; chance is drawn under resample alone."""
    found = measure(runner, circuit, wanted.metric)
    measured = [found] if "faithfulness" in wanted.checks else []
    random, curve = [], []
    if runner.settings.ablation == "resample":
        if "random" in wanted.checks and found.faithfulness is not None:
            random.append(compare_with_random(runner, found, wanted.n_random, wanted.seed))
        if "curve" in wanted.checks and scores is not None:
            order = scores.order(circuit.origin.get("by", "abs"), circuit.origin.get("selection", "top"))
            curve.append(faithfulness_curve(runner, order, wanted))
    return Verification({}, measured, random, curve)


def compare_with_random(runner: CircuitRunner, found: Measurement, n_circuits: int, seed: int) -> RandomComparison:
    """A measured circuit against ``n_circuits`` uniform ones of its size, run in the same way; the same seed draws the
    same circuits whatever the way of running."""
    assert found.faithfulness is not None
    generator = torch.Generator().manual_seed(seed)
    masks = uniform_circuits(runner.graph, found.n_edges, n_circuits, generator)
    values = runner.faithfulness(masks, found.metric).numpy()
    return RandomComparison(
        kind="uniform",
        mode=found.mode,
        ablation=found.ablation,
        reverse=found.reverse,
        direction=found.direction,
        metric=found.metric,
        n_edges=found.n_edges,
        n_circuits=n_circuits,
        found=found.faithfulness,
        disconnected=disconnected_share(runner.graph, masks),
        **spread(values),
        **rank_among(found.faithfulness, values),
    )


def faithfulness_curve(runner: CircuitRunner, order: Tensor, wanted: Checks) -> Curve:
    """Prefixes of a ranking, int64 [n_edges], over a logarithmic grid from 1 edge to all; in the mode's own direction
    also ``CURVE_CIRCUITS`` random circuits a size."""
    settings, n_edges = runner.settings, runner.graph.n_edges
    generator = torch.Generator().manual_seed(wanted.seed)
    sizes = np.unique(np.geomspace(1, n_edges, wanted.curve_points).round().astype(int)).tolist()
    mib_sizes = [round(n_edges * share) for share in MIB_FRACTIONS]
    found = runner.faithfulness(prefix_masks(order, [*sizes, *mib_sizes]), wanted.metric).tolist()
    values, mib_values = found[: len(sizes)], found[len(sizes) :]
    chance = [
        runner.faithfulness(uniform_circuits(runner.graph, size, CURVE_CIRCUITS, generator), wanted.metric).numpy()
        for size in (() if settings.reverse else sizes)
    ]
    return Curve(
        settings.mode,
        settings.ablation,
        settings.reverse,
        wanted.metric,
        sizes,
        values,
        [float(row.mean()) for row in chance],
        [float(np.quantile(row, 0.95)) for row in chance],
        areas(MIB_FRACTIONS, mib_values),
    )
