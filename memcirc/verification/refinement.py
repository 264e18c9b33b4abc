"""What did it cost to give up the edges that can be spared? A refined circuit beside the prefix that it was cut from.

Edges are given up on validation pairs, guarded by those for training (:mod:`memcirc.circuits.refine`); a circuit that
is fitted to these falls on test pairs. Both circuits are measured on the same test pairs, in the direction that they
were found in, and the difference of their faithfulness has a bootstrap interval over documents of its own.
"""

from dataclasses import dataclass

import torch

from memcirc.statistics import FEWEST_GROUPS, percentile_interval, resample_counts, resampled_ratios
from memcirc.verification.check import Work
from memcirc.verification.record import OfPairs
from memcirc.verification.subject import Subject

STATED = ("prefix", "prefix_faithfulness", "faithfulness", "certified", "closest_removal", "circuits_measured")
"""What a refined circuit states (:func:`memcirc.circuits.minimal.find_minimal`)."""


@dataclass(frozen=True)
class RefinedBesidePrefix(OfPairs):
    """The refined circuit (``n_edges``) beside the prefix (``prefix``): faithfulness on validation as found, and on
    test pairs; ``gap`` is by how much the refined one keeps less there, with its 95 % interval over documents (None
    with too few of them). ``certified``: whether every single removal was measured on validation, and fails, the
    nearest by ``closest`` (below 0; None for no edges); ``circuits`` were measured for it."""

    KEY = "refinement"

    n_edges: int
    prefix: int
    certified: bool
    closest: float | None
    circuits: int
    validation: float
    prefix_validation: float
    n_pairs: int
    faithfulness: float
    prefix_faithfulness: float
    gap: float
    low: float | None
    high: float | None


def refinement(subject: Subject) -> list[RefinedBesidePrefix]:
    """One line of a circuit that was refined; none of another.

    Raises:
        ValueError: no scores, a circuit of another version that does not state how it was refined, or ends that
            coincide.
    """
    told = subject.refined
    if told is None:
        return []
    missing = [name for name in STATED if name not in told]
    if missing:
        raise ValueError(f"the circuit states no {missing[0]} of its refinement, as another version's; discover anew")
    runner, settings = subject.runner(reverse=subject.own_reverse), subject.settings
    values = runner.per_pair(torch.stack([subject.prefix_mask, subject.mask]), settings.metric)
    ends = runner.ends(settings.metric)
    before, after = ends.faithfulness(values.double().mean(1).cpu().numpy()).tolist()
    low, high = _interval(subject, values)
    return [
        RefinedBesidePrefix(
            way=runner.way(settings.metric),
            n_edges=len(subject.circuit),
            prefix=int(told["prefix"]),
            certified=told["certified"],
            closest=told["closest_removal"],
            circuits=told["circuits_measured"],
            validation=told["faithfulness"],
            prefix_validation=told["prefix_faithfulness"],
            n_pairs=len(subject.pairs),
            faithfulness=after,
            prefix_faithfulness=before,
            gap=before - after,
            low=low,
            high=high,
        )
    ]


def _interval(subject: Subject, values: torch.Tensor) -> tuple[float | None, float | None]:
    """Bounds of the difference of faithfulness, both circuits drawn together."""
    groups = subject.pairs.components()
    if len(groups) < FEWEST_GROUPS:
        return None, None
    runner, settings = subject.runner(reverse=subject.own_reverse), subject.settings
    counts = resample_counts(groups, settings.n_resamples, settings.seed)
    nothing, everything = runner.end_values(settings.metric).double().cpu().numpy()
    resolution = runner.ends(settings.metric).resolution
    before, after = resampled_ratios(counts, values.double().cpu().numpy(), nothing, everything, resolution).T
    bounds = percentile_interval(before - after, len(groups))
    return bounds.low, bounds.high


WORK = Work.whole(RefinedBesidePrefix, refinement)
