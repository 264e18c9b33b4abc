"""Dose and response: does the circuit carry more of what was seen more often?

Pairs are grouped by how often their document stands in the corpus. Of each group: the metric with all edges, with the
circuit, and with none; what the circuit carries is by how much it moves the metric from the last towards the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from memcirc.statistics import normalised
from memcirc.verification.check import Work
from memcirc.verification.power import detectable_correlation
from memcirc.verification.record import OfPairs
from memcirc.verification.subject import Subject


@dataclass(frozen=True)
class Dose(OfPairs):
    """One number of copies. ``carried``: by how much the circuit moves the mean metric from nothing towards everything;
    ``faithfulness`` of the group's means (None where its ends coincide). ``trend``: Spearman correlation over all pairs
    of copies with each pair's carried metric (None where all have the same copies), with its p-value;
    ``trend_detectable`` is the correlation that would have been found in 80 % of all cases."""

    KEY = "dose"

    copies: int
    n_edges: int
    n_pairs: int
    nothing: float
    circuit: float
    everything: float
    carried: float
    faithfulness: float | None
    trend: float | None
    trend_p: float | None
    trend_detectable: float | None


def dose_response(subject: Subject) -> Sequence[Dose]:
    """A row for each number of copies.

    Raises:
        ValueError: the pairs do not say their copies.
    """
    copies = np.array([-1 if pair.copies is None else pair.copies for pair in subject.pairs])
    if (copies < 0).any():
        raise ValueError(f"{int((copies < 0).sum())} of {len(copies)} pairs do not say how often their document occurs")
    runner, metric = subject.runner(reverse=subject.own_reverse), subject.settings.metric
    circuit = runner.per_pair([subject.circuit], metric)[0].double().cpu().numpy()
    nothing, everything = runner.end_values(metric).double().cpu().numpy()
    towards = float(np.sign(everything.mean() - nothing.mean()))
    trend = trend_p = None
    if len(np.unique(copies)) > 1:
        found = spearmanr(copies, towards * (circuit - nothing))
        trend, trend_p = float(found.statistic), float(found.pvalue)
    rows = []
    for level in np.unique(copies):
        some = copies == level
        ends = nothing[some].mean(), everything[some].mean()
        resolution = runner.resolution(metric, int(some.sum()))
        faithfulness = float(normalised(circuit[some].mean(), *ends, resolution))
        rows.append(
            Dose(
                copies=int(level),
                way=runner.way(metric),
                n_edges=len(subject.circuit),
                n_pairs=int(some.sum()),
                nothing=float(ends[0]),
                circuit=float(circuit[some].mean()),
                everything=float(ends[1]),
                carried=float(towards * (circuit[some].mean() - ends[0])),
                faithfulness=None if np.isnan(faithfulness) else faithfulness,
                trend=trend,
                trend_p=trend_p,
                trend_detectable=detectable_correlation(len(copies)),
            )
        )
    return rows


WORK = Work.whole(Dose, dose_response)
