"""A circuit that memorized text needs and other text does not: a search with two constraints.

Taken out of the model, the circuit is to add at least ``at_least`` to the loss of memorized text and at most
``at_most`` to that of any other kind. Its candidates are the prefixes of rankings by the difference of what edges carry
of both (:mod:`memcirc.attribution.differences`), from the ranking of memorized text alone on. Of those that meet both
constraints the smallest is refined until no single edge can be spared (:mod:`memcirc.circuits.refine`). Where none
meets them the one that comes closest is returned, and what was measured says what a bit more of one constraint costs
of the other.

The search knows no model: it is given a function from circuits to what taking them out adds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memcirc.attribution.differences import difference
from memcirc.attribution.scores import EdgeScores, Ranking
from memcirc.circuit import Circuit
from memcirc.circuits.refine import MOST_CIRCUITS, refined
from memcirc.config import check_count

Harms = Callable[[Bool[Tensor, "circuits n_edges"]], Float[Tensor, "2 circuits"]]
WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)
N_SIZES = 16


@dataclass(frozen=True)
class Harm:
    """What taking a circuit of a size out adds to the loss of memorized text, and to that of the other kind that it
    adds most to: nats a token. ``weight`` is that of other text in its ranking."""

    n_edges: int
    weight: float
    memorized: float
    other: float


@dataclass(frozen=True)
class SpecificCircuit:
    """The circuit found, and what it was chosen from.

    Attributes:
        harm: its own; met: whether both constraints hold, where they were searched.
        certified: whether every single edge is needed to meet them: each was put back alone, and they fail.
        tradeoff: of all measured, those that none beats in both: ascending in both harms.
        circuits: how many were measured.
    """

    circuit: Circuit
    harm: Harm
    met: bool
    certified: bool
    tradeoff: tuple[Harm, ...]
    circuits: int


def find_specific(
    harms: Harms,
    memorized: EdgeScores,
    other: EdgeScores,
    *,
    at_least: float,
    at_most: float,
    weights: Sequence[float] = WEIGHTS,
    n_sizes: int = N_SIZES,
    most_circuits: int = MOST_CIRCUITS,
) -> SpecificCircuit:
    """Search the smallest circuit that meets both constraints.

    Args:
        harms: from circuits to what taking each out adds to memorized text, and to the other text that it adds most to.
        memorized, other: what edges carry of both (a positive score: ablating the edge harms it), from text that
            ``harms`` does not measure.
        weights: of other text in a ranking; n_sizes: prefixes of each, evenly spaced by their ratio.
        most_circuits: that may be measured to refine one.

    Raises:
        ValueError: scores of two graphs, no weight, a size or a number of circuits below 1, or a constraint on
            memorized text that is not above the other.
    """
    if not at_least > at_most:
        raise ValueError(
            f"at least {at_least} on memorized text and at most {at_most} on other: the first must be more"
        )
    if not weights:
        raise ValueError("no weights; give at least one")
    check_count("n_sizes", n_sizes)
    check_count("most_circuits", most_circuits)
    graph = memorized.graph
    sizes = np.unique(np.geomspace(1, graph.n_edges, n_sizes).round().astype(int)).tolist()
    rankings = [Ranking(difference(memorized, other, weight), "signed") for weight in weights]
    masks = torch.cat([ranking.masks(sizes) for ranking in rankings])
    measured = [
        Harm(size, weight, float(own), float(spared))
        for (weight, size), own, spared in zip(
            [(weight, size) for weight in weights for size in sizes], *harms(masks), strict=True
        )
    ]

    def margin(harm: Harm) -> float:
        return min(harm.memorized - at_least, at_most - harm.other)

    meeting = [i for i, harm in enumerate(measured) if margin(harm) >= 0]
    chosen = (
        min(meeting, key=lambda i: (measured[i].n_edges, -margin(measured[i])))
        if meeting
        else max(range(len(measured)), key=lambda i: margin(measured[i]))
    )
    mask, harm, certified, circuits = masks[chosen], measured[chosen], False, len(measured)
    if meeting:

        def margins(some: Tensor) -> Tensor:
            own, spared = harms(some)
            return torch.minimum(own - at_least, at_most - spared)

        found = refined(margins, [mask], [rankings[chosen // len(sizes)].order], most_circuits)
        own, spared = harms(found.mask[None])[:, 0].tolist()
        mask, certified, circuits = found.mask, found.certified, circuits + found.circuits
        harm = Harm(found.n_edges, harm.weight, own, spared)
    edges = frozenset(graph.edges[i] for i in mask.nonzero()[:, 0].tolist())
    constraints = {"at_least": at_least, "at_most": at_most, "met": bool(meeting)}
    circuit = Circuit(edges, {**memorized.origin, "weight": harm.weight, "specific": constraints})
    return SpecificCircuit(circuit, harm, bool(meeting), certified, undominated(measured), circuits)


def undominated(measured: Sequence[Harm]) -> tuple[Harm, ...]:
    """Those that no other beats: more added to memorized text for as little added to other text; each harm ascends."""
    kept: list[Harm] = []
    for harm in sorted(measured, key=lambda each: (each.other, -each.memorized, each.n_edges)):
        if not kept or harm.memorized > kept[-1].memorized:
            kept.append(harm)
    return tuple(kept)
