"""Faithfulness over sizes: the found ranking's prefixes on a logarithmic grid and at MIB's sizes.

- ``smallest``: for each target the first size whose faithfulness reaches it: the first grid point that does, then
  bisection down to the last one that fails. Between grid points the curve may cross earlier; the search on the
  validation split (:mod:`memcirc.circuits.search`) is the one that looks everywhere.
- ``mean_ratio``: the mean over pairs of the pairs' own ratios, beside ``faithfulness``, the ratio of means. It is
  dominated by pairs whose own ends lie close together, which is why it is a diagnostic.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

from memcirc.attribution.scores import Ranking
from memcirc.circuits.runner import CircuitRunner
from memcirc.statistics import percentile_interval, resample_counts, resampled_ratios
from memcirc.verification.areas import MIB_FRACTIONS, areas
from memcirc.verification.check import Job, Work
from memcirc.verification.drawing import uniform_circuits
from memcirc.verification.faithfulness import pair_ratios
from memcirc.verification.random_circuits import FEWEST_FOR_P, per_pair_of_many
from memcirc.verification.record import OfPairs
from memcirc.verification.subject import Outline, Subject

TARGETS = (0.85, 0.9, 0.95)
CURVE_CIRCUITS = 20


@dataclass(frozen=True)
class Curve(OfPairs):
    """Faithfulness of the ranking's prefixes; the lists run along ``sizes``.

    ``low`` and ``high`` bound the 95 % bootstrap interval over documents (empty where there are too few);
    ``random_mean`` and ``random_q95`` are those of ``n_random`` uniform random circuits of each size (empty where none
    were drawn, the percentile also where fewer than ``FEWEST_FOR_P`` were). ``mib_areas``:
    :func:`memcirc.verification.areas.areas` over MIB's shares of the edges, ``mib_faithfulness`` the values there.
    """

    KEY = "curve"

    sizes: Sequence[int]
    faithfulness: Sequence[float]
    mean_ratio: Sequence[float | None]
    low: Sequence[float]
    high: Sequence[float]
    n_random: int
    random_mean: Sequence[float]
    random_q95: Sequence[float]
    mib_fractions: Sequence[float]
    mib_sizes: Sequence[int]
    mib_faithfulness: Sequence[float]
    mib_areas: Mapping[str, float]
    smallest: Mapping[str, int | None]


def log_grid(n_edges: int, points: int) -> list[int]:
    """Whole sizes from 1 to all edges, evenly on a logarithmic axis."""
    return np.unique(np.geomspace(1, n_edges, points).round().astype(int)).tolist()


def faithfulness_curve(subject: Subject, ablation: str, reverse: bool) -> list[Curve]:
    """The ranking's prefixes; in the circuit's own direction under the subject's ablation also random circuits.

    Raises:
        ValueError: no scores, or ends that coincide.
    """
    ranking, settings, runner = subject.ranking, subject.settings, subject.runner(ablation, reverse)
    n_edges, ends = runner.graph.n_edges, runner.ends(settings.metric)
    sizes = log_grid(n_edges, settings.curve_points)
    mib_sizes = [round(n_edges * share) for share in MIB_FRACTIONS]
    wanted = sorted({*sizes, *mib_sizes})
    per_pair = runner.per_pair(ranking.masks(wanted), settings.metric).double().cpu()
    values = dict(zip(wanted, ends.faithfulness(per_pair.mean(1)).tolist(), strict=True))
    rows = per_pair[[wanted.index(size) for size in sizes]]
    low, high = _band(subject, runner, rows)
    chance = _chance(subject, runner, sizes) if (ablation, reverse) == (subject.ablation, subject.own_reverse) else []
    n_random = len(chance[0]) if chance else 0
    mib_values = [values[size] for size in mib_sizes]
    return [
        Curve(
            way=runner.way(settings.metric),
            sizes=sizes,
            faithfulness=[values[size] for size in sizes],
            mean_ratio=[_mean_ratio(runner, row, settings.metric) for row in rows],
            low=low,
            high=high,
            n_random=n_random,
            random_mean=[float(row.mean()) for row in chance],
            random_q95=[float(np.quantile(row, 0.95)) for row in chance] if n_random >= FEWEST_FOR_P else [],
            mib_fractions=MIB_FRACTIONS,
            mib_sizes=mib_sizes,
            mib_faithfulness=mib_values,
            mib_areas=areas(MIB_FRACTIONS, mib_values),
            smallest={
                f"{target:g}": first_reaching(runner, ranking, values, target, settings.metric) for target in TARGETS
            },
        )
    ]


def first_reaching(
    runner: CircuitRunner, ranking: Ranking, known: Mapping[int, float], target: float, metric: str
) -> int | None:
    """The size at which the measured curve first reaches a target (module docstring); None where it never does."""
    sizes = sorted(known)
    reaching = [size for size in sizes if known[size] >= target]
    if not reaching:
        return None
    high = reaching[0]
    low = max((size for size in sizes if size < high), default=0)
    while high - low > 1:
        middle = (low + high) // 2
        value = float(runner.faithfulness(ranking.masks([middle]), metric)[0])
        low, high = (low, middle) if value >= target else (middle, high)
    return high


def _chance(subject: Subject, runner: CircuitRunner, sizes: Sequence[int]) -> list[np.ndarray]:
    """Faithfulness of uniform random circuits at each size, [sizes][circuits]."""
    settings = subject.settings
    generator = torch.Generator().manual_seed(settings.seed)
    n_circuits = CURVE_CIRCUITS if settings.thorough else CURVE_CIRCUITS // 4
    ends = runner.ends(settings.metric)
    found = []
    for size in sizes:
        masks = uniform_circuits(runner.graph, size, n_circuits, generator)
        found.append(ends.faithfulness(per_pair_of_many(runner, masks, settings.metric).mean(1)))
    return found


def _band(subject: Subject, runner: CircuitRunner, per_pair: Tensor) -> tuple[list[float], list[float]]:
    """Bootstrap bounds of every size, [sizes, pairs] in; empty where there are too few documents."""
    settings = subject.settings
    try:
        counts = resample_counts(runner.pairs.components(), settings.n_resamples, settings.seed)
    except ValueError:
        return [], []
    nothing, everything = runner.end_values(settings.metric).double().cpu().numpy()
    resolution = runner.ends(settings.metric).resolution
    draws = resampled_ratios(counts, per_pair.numpy(), nothing, everything, resolution)
    try:
        bounds = [percentile_interval(column, 0) for column in draws.T]
    except ValueError:
        return [], []
    return [b.low for b in bounds], [b.high for b in bounds]


def _mean_ratio(runner: CircuitRunner, per_pair: Tensor, metric: str) -> float | None:
    found = pair_ratios(runner, per_pair, metric)
    usable = found[np.isfinite(found)]
    return float(usable.mean()) if len(usable) else None


def _jobs(outline: Outline) -> Iterator[Job]:
    """A curve for each direction under the subject's ablation; with ``thorough`` under every ablation."""
    ablations = [a for a in outline.ablations if outline.settings.thorough or a == outline.ablation]
    for ablation, reverse in product(ablations, outline.directions):
        yield Job(Curve.KEY, partial(faithfulness_curve, ablation=ablation, reverse=reverse))


WORK = Work((Curve,), _jobs)
