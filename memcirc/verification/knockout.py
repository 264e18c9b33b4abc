"""What is left when the circuit is knocked out, and what stands in for it.

- Necessity: f(M \\ C), the faithfulness of the complement: 0 where all of the behaviour ran through C.
- Completeness (Wang et al. 2022): for random subsets K of C, |f(C \\ K) - f(M \\ K)|, on average and at most. It is 0
  where C answers to a knock-out as the model does, and large where something outside C takes over.
- Repeated discovery: the edges found so far are knocked out, all others are scored anew in what is left of the model
  (:mod:`memcirc.attribution.knocked_out`, on the training pairs), and the smallest prefix of that ranking that reaches
  the target is sought. A second disjoint circuit is a back-up in parallel. Without training pairs the circuit's own
  ranking goes on.
- Dormant back-ups: of the highest-ranked edges outside C, those whose own knock-out costs more after C is knocked out
  than before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from memcirc.attribution.knocked_out import attribute_without
from memcirc.circuits.runner import CircuitRunner
from memcirc.circuits.search import smallest_size
from memcirc.verification.check import Job, Work
from memcirc.verification.record import OfPairs
from memcirc.verification.subject import Outline, Subject

ROUNDS = 3
SHOWN = 5
BACK_UP = 0.01


@dataclass(frozen=True)
class KnockOut(OfPairs):
    """One circuit knocked out in one way to run it; ``rounds`` lists each repeated discovery: the disjoint circuit's
    size, its faithfulness, whether it reaches the target, and the faithfulness of what then remains. ``back_ups`` lists
    edges with their effect on faithfulness in the intact model (``before``) and without the circuit (``after``).
    ``scored_anew``: whether the rounds' edges were scored in what was left of the model."""

    KEY = "knockout"

    n_edges: int
    without_circuit: float
    incompleteness: float
    incompleteness_highest: float
    n_subsets: int
    rounds: Sequence[Mapping[str, float | int | bool]]
    scored_anew: bool
    n_candidates: int
    n_back_ups: int
    back_ups: Sequence[Mapping[str, float | str]]


def knock_out(subject: Subject, reverse: bool) -> list[KnockOut]:
    """One line, under the subject's ablation.

    Raises:
        ValueError: no scores, an empty circuit, or ends that coincide.
    """
    if not len(subject.circuit):
        raise ValueError("a circuit of 0 edges cannot be knocked out")
    settings, runner, mask = subject.settings, subject.runner(reverse=reverse), subject.mask
    metric, n_subsets = settings.metric, settings.n_subsets
    order = subject.ranking.order
    generator = torch.Generator().manual_seed(settings.seed)
    subsets = mask & (torch.rand(n_subsets, len(mask), generator=generator) < 0.5)
    kept, whole = (runner.faithfulness(m & ~subsets, metric) for m in (mask, torch.ones_like(mask)))
    incompleteness = (kept - whole).abs()
    rest = order[~mask[order]]
    candidates = rest[: settings.n_candidates]
    before, after = (_effects(runner, base, candidates, metric) for base in (torch.ones_like(mask), ~mask))
    gain = after.abs() - before.abs()
    woken = gain.argsort(descending=True, stable=True)[:SHOWN].tolist()
    return [
        KnockOut(
            way=runner.way(metric),
            n_edges=len(subject.circuit),
            without_circuit=float(runner.faithfulness(~mask[None], metric)[0]),
            incompleteness=float(incompleteness.mean()),
            incompleteness_highest=float(incompleteness.max()),
            n_subsets=n_subsets,
            rounds=_rounds(subject, runner),
            scored_anew=subject.train is not None,
            n_candidates=len(candidates),
            n_back_ups=int((gain > BACK_UP).sum()),
            back_ups=[
                {"edge": subject.graph.edges[int(candidates[i])], "before": float(before[i]), "after": float(after[i])}
                for i in woken
            ],
        )
    ]


def _effects(runner: CircuitRunner, base: Tensor, edges: Tensor, metric: str) -> Tensor:
    """float64 [edges]: by how much the faithfulness of ``base`` falls when an edge is taken out of it."""
    without = base.repeat(len(edges), 1)
    without[torch.arange(len(edges)), edges] = False
    return runner.faithfulness(base[None], metric)[0] - runner.faithfulness(without, metric)


def _rounds(subject: Subject, runner: CircuitRunner) -> list[Mapping[str, float | int | bool]]:
    """Repeated discovery among the edges not used so far."""
    found: list[Mapping[str, float | int | bool]] = []
    used, target, metric = subject.mask, subject.settings.target, subject.settings.metric
    for number in range(1, ROUNDS + 1):
        order = _order_without(subject, used)
        rest = order[~used[order]]
        if not len(rest):
            break

        def faithfulness(sizes: Sequence[int], left: Tensor = rest) -> list[float]:
            masks = torch.zeros(len(sizes), runner.graph.n_edges, dtype=torch.bool)
            for row, size in zip(masks, sizes, strict=True):
                row[left[:size]] = True
            return runner.faithfulness(masks, metric).tolist()

        search = smallest_size(faithfulness, len(rest), target, scan=False)
        used = used.clone()
        used[rest[: search.n_edges]] = True
        found.append(
            {
                "round": number,
                "n_edges": search.n_edges,
                "faithfulness": search.faithfulness,
                "target_met": search.target_met,
                "left": float(runner.faithfulness(~used[None], metric)[0]),
            }
        )
        if not search.target_met:
            break
    return found


def _order_without(subject: Subject, used: Tensor) -> Tensor:
    """int64 [n_edges]: the ranking of the edges where those used so far are knocked out."""
    if subject.train is None:
        return subject.ranking.order
    told = {name: value for name, value in subject.attribution.items() if name != "method"}
    return subject.ranked(attribute_without(subject.model, subject.train, used, **told)).order


def _jobs(outline: Outline) -> Iterator[Job]:
    """Each direction."""
    for reverse in outline.directions:
        yield Job(KnockOut.KEY, partial(knock_out, reverse=reverse))


WORK = Work((KnockOut,), _jobs)
