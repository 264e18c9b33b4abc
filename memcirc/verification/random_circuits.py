"""A circuit beside random circuits of its size: is it better than chance? How they are drawn:
:mod:`memcirc.verification.drawing`."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

from memcirc.attribution.scores import EdgeScores, Ranking
from memcirc.circuit import Circuit, connected, edge_mask
from memcirc.circuits.runner import AnyCircuit, CircuitRunner
from memcirc.verification.check import Job, Work
from memcirc.verification.drawing import KINDS, disconnected_share, random_circuits
from memcirc.verification.record import OfPairs
from memcirc.verification.subject import Outline, Subject

FEWEST_FOR_P = 19


def per_pair_of_many(runner: CircuitRunner, masks: Tensor, metric: str) -> Tensor:
    """float64 [circuits, pairs]: the metric of many circuits, each different one measured once.

    What lies on no path from input to logits changes nothing in tree mode under resample, so that circuits are cut down
    to their connected part first; a disconnected one is the empty one.
    """
    settings = runner.settings
    if settings.mode == "tree" and settings.ablated.rests:
        masks = torch.stack([connected(runner.graph, mask) for mask in masks])
    distinct, inverse = masks.unique(dim=0, return_inverse=True)
    return runner.per_pair(distinct, metric).double().cpu()[inverse]


@dataclass(frozen=True)
class Draw:
    """Which random circuits: their kind, how many, and the seed that they are drawn by."""

    kind: str = "uniform"
    n_random: int = 100
    seed: int = 0


@dataclass(frozen=True)
class RandomComparison(OfPairs):
    """A circuit's faithfulness beside that of random circuits of its size.

    ``overlap``: mean share of the circuit's edges that a random one has as well: near 1 where its kind leaves little
    choice, and then the comparison says nothing. ``quantile``: share of random circuits below it. ``p_value`` = (1 +
    number at least as good) / (1 + number drawn),
    None where fewer than ``FEWEST_FOR_P`` were drawn, which cannot reach 5 %.
    """

    KEY = "random"

    kind: str
    n_edges: int
    n_circuits: int
    found: float
    mean: float
    std: float
    q05: float
    median: float
    q95: float
    highest: float
    disconnected: float
    overlap: float
    quantile: float
    p_value: float | None


def spread(values: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation and quantiles of the faithfulness of random circuits."""
    q05, median, q95 = np.quantile(values, [0.05, 0.5, 0.95]).tolist()
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "q05": q05,
        "median": median,
        "q95": q95,
        "highest": float(values.max()),
    }


def rank_among(found: float, values: np.ndarray) -> dict[str, float]:
    """Where a found value stands among random ones."""
    return {
        "quantile": float((values < found).mean()),
        "p_value": float((1 + (values >= found).sum()) / (1 + len(values))),
    }


def check_enough(n_random: int) -> None:
    """Raises ValueError where a p-value could not reach 5 %."""
    if n_random < FEWEST_FOR_P:
        raise ValueError(
            f"a p-value of {n_random} random circuits is at least {1 / (1 + n_random):.3f}; "
            f"at least {FEWEST_FOR_P} random circuits are needed to reach 0.05"
        )


def compare_with_random(
    runner: CircuitRunner, circuit: AnyCircuit, metric: str, draw: Draw, scores: EdgeScores | None = None
) -> RandomComparison:
    """A circuit against random ones of its size, run in the same way; the same seed draws the same circuits whatever
    the way of running.

    Raises:
        ValueError: an unknown kind, ``shuffled`` without scores, ends that coincide.
    """
    chosen = circuit if isinstance(circuit, Circuit) else Circuit.from_edges(circuit)
    ranking, mask = None if scores is None else Ranking.of(scores, chosen), edge_mask(runner.graph, chosen)
    generator = torch.Generator().manual_seed(draw.seed)
    masks = random_circuits(draw.kind, runner.graph, mask, draw.n_random, generator, ranking)
    ends = runner.ends(metric)
    found = float(ends.faithfulness(runner.per_pair([circuit], metric)[0].double().mean().cpu()))
    values = ends.faithfulness(per_pair_of_many(runner, masks, metric).mean(1))
    rank = rank_among(found, values)
    return RandomComparison(
        kind=draw.kind,
        way=runner.way(metric),
        n_edges=len(circuit),
        n_circuits=draw.n_random,
        found=found,
        disconnected=disconnected_share(runner.graph, masks),
        overlap=float((masks & mask).sum(1).double().mean() / max(1, int(mask.sum()))),
        **spread(values),
        quantile=rank["quantile"],
        p_value=rank["p_value"] if draw.n_random >= FEWEST_FOR_P else None,
    )


def _jobs(outline: Outline) -> Iterator[Job]:
    """Every kind in the circuit's own direction, with ``thorough`` in both."""
    own = outline.own_reverse if outline.own_reverse in outline.directions else outline.directions[0]
    directions = outline.directions if outline.settings.thorough else (own,)
    for kind, reverse in product(KINDS, directions):
        label = f"{outline.label(outline.ablation, reverse)}, {kind} random circuits"
        yield Job(label, partial(_compared, kind=kind, reverse=reverse))
    yield Job("random circuits", _enough)


def _compared(subject: Subject, kind: str, reverse: bool) -> list[RandomComparison]:
    settings, runner = subject.settings, subject.runner(reverse=reverse)
    draw = Draw(kind, settings.n_random, settings.seed)
    return [compare_with_random(runner, subject.circuit, settings.metric, draw, subject.scores)]


def _enough(subject: Subject) -> tuple[()]:
    check_enough(subject.settings.n_random)
    return ()


WORK = Work((RandomComparison,), _jobs)
