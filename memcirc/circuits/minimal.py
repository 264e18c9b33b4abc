"""The minimal circuit: the smallest prefix of a ranking of edges that keeps the target faithfulness, and what is left
of it without the edges that it can spare."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Unpack

from memcirc.attribution.scores import EdgeScores, Ranking
from memcirc.circuit import Circuit
from memcirc.circuits.conditions import Condition, least_kept, least_margin
from memcirc.circuits.refine import MOST_CIRCUITS, Refinement, refined
from memcirc.circuits.runner import RunnerOptions, circuit_runner
from memcirc.circuits.search import SizeSearch, smallest_size
from memcirc.config import check_count, check_switch, names, shortened
from memcirc.models import Model
from memcirc.options import chosen, refuse_keywords
from memcirc.pairs.record import Pairs

RULES = (("abs", "top"), ("signed", "top"), ("abs", "greedy"))
WORTH_A_START = 1.5


class SearchOptions(RunnerOptions, total=False):
    """What :func:`find_minimal` takes by name: a runner's options, which ranking (:meth:`EdgeScores.order`), and

    scan: look at smaller sizes too (:func:`memcirc.circuits.search.smallest_size`); also_under: further ablations under
    which the target is to be reached, all at once; refine: reduce the prefix until no single edge can be spared
    (:mod:`memcirc.circuits.refine`); guard: pairs on which what is left must keep the target too, or what the prefix
    keeps there where that is less, so that no edge is given up for the sake of a few validation pairs; most_circuits:
    how many may be measured to refine.
    """

    by: str
    selection: str
    scan: bool
    also_under: str | Sequence[str]
    refine: bool
    guard: Pairs | None
    most_circuits: int


@dataclass(frozen=True)
class MinimalCircuit(SizeSearch):
    """The circuit that was found, with its own size and faithfulness.

    Attributes:
        prefix: edges of the smallest prefix; the search's other numbers are about prefixes.
        alone: edges of the smallest prefix under the circuit's own ablation alone, where the target was to be reached
            under further ones as well: the difference is what that costs.
        refinement: what became of it, where that was asked for and the target is met.
    """

    circuit: Circuit
    prefix: int
    alone: int | None = None
    refinement: Refinement | None = None


def find_minimal(
    model: Model,
    pairs: Pairs,
    scores: EdgeScores,
    *,
    mode: str,
    target: float = 0.85,
    metric: str = "logit_diff",
    **options: Unpack[SearchOptions],
) -> MinimalCircuit:
    """The smallest circuit among the prefixes of one ranking that reaches ``target`` of the full model's faithfulness;
    refined, a part of a prefix (of that ranking, or of another one of the same scores) of which every edge is needed.

    Args:
        pairs: what faithfulness is measured on (the validation split).
        options: of :class:`SearchOptions`: ``by`` ("abs"), ``selection`` ("top"), ``scan`` (True), ``also_under`` (),
            ``refine`` (False), ``guard`` (None), ``most_circuits`` (1,000), and those of
            :func:`memcirc.circuits.runner.circuit_runner`.

    Raises:
        TypeError: an option that there is not.
        ValueError: no scores, or those of another graph; a target outside (0, 1], an unknown ablation, a switch that
            is neither True nor False, a number of circuits below 1, ends that coincide.
    """
    refuse_keywords("find_minimal", options, SearchOptions.__annotations__)
    most = options.get("most_circuits", MOST_CIRCUITS)
    check_count("most_circuits", most)
    scan, refine = options.get("scan", True), options.get("refine", False)
    check_switch("scan", scan)
    check_switch("refine", refine)
    if not isinstance(scores, EdgeScores):
        raise ValueError(f"scores {shortened(scores)} are no EdgeScores, as attribute and load_scores give them")
    runner_options = chosen(RunnerOptions, options)
    ranking = Ranking(scores, options.get("by", "abs"), options.get("selection", "top"))
    own = circuit_runner(model, pairs, mode=mode, **runner_options)
    if scores.graph != own.graph:
        raise ValueError(
            f"scores of a graph of {scores.graph.n_edges} edges, a model of {own.graph.n_edges}: not the same graph"
        )
    under: list[RunnerOptions] = [{**runner_options, "ablation": name} for name in names(options.get("also_under", ()))]
    further = [circuit_runner(model, pairs, mode=mode, **each) for each in under]
    conditions = [Condition(runner, metric, target) for runner in (own, *further)]
    found = _smallest(conditions, ranking, scan)
    circuit = scores.first(found.n_edges, ranking.by, ranking.selection)
    alone = _smallest(conditions[:1], ranking, scan).n_edges if further else None
    minimal = MinimalCircuit(**vars(found), circuit=circuit, prefix=found.n_edges, alone=alone)
    if not refine or not found.target_met:
        return minimal
    guard, guards = options.get("guard"), []
    if guard is not None:
        guarding = circuit_runner(model, guard, mode=mode, **runner_options)
        kept = float(guarding.faithfulness(ranking.masks([found.n_edges]), metric)[0])
        guards.append(Condition(guarding, metric, min(target, kept)))
    return _refined(minimal, conditions, guards, ranking, most)


def _smallest(conditions: Sequence[Condition], ranking: Ranking, scan: bool) -> SizeSearch:
    """The smallest prefix of a ranking that reaches the target, which all conditions share."""

    def faithfulness(sizes: Sequence[int]) -> Sequence[float]:
        values: list[float] = least_kept(conditions, ranking.masks(sizes)).tolist()
        return values

    return smallest_size(faithfulness, ranking.scores.graph.n_edges, conditions[0].target, scan)


def _refined(
    minimal: MinimalCircuit, conditions: Sequence[Condition], guards: Sequence[Condition], ranking: Ranking, most: int
) -> MinimalCircuit:
    """The minimal circuit without what it can spare, restarted from the other rankings of the same scores. The circuit
    states the prefix's size and value, its own, whether every edge is needed, by how much the nearest single removal
    falls short (below 0), and what it took."""
    scores = ranking.scores
    others = [Ranking(scores, *rule) for rule in RULES if rule != (ranking.by, ranking.selection)]
    sizes = [_smallest(conditions[:1], other, scan=False).n_edges for other in others]
    rankings, prefixes = [ranking], [minimal.prefix]
    for other, size in zip(others, sizes, strict=True):
        if size <= WORTH_A_START * minimal.prefix:
            rankings.append(other)
            prefixes.append(size)
    found = refined(
        lambda masks: least_margin([*conditions, *guards], masks),
        [each.masks([size])[0] for each, size in zip(rankings, prefixes, strict=True)],
        [each.order for each in rankings],
        most,
    )
    edges = frozenset(scores.graph.edges[i] for i in found.mask.nonzero()[:, 0].tolist())
    kept = float(least_kept(conditions, found.mask[None])[0])
    stated = {
        "prefix": minimal.prefix,
        "prefix_faithfulness": minimal.faithfulness,
        "faithfulness": kept,
        "certified": found.certified,
        "closest_removal": found.closest,
        "circuits_measured": found.circuits,
    }
    circuit = Circuit(edges, {**minimal.circuit.origin, "refined": stated})
    return replace(minimal, circuit=circuit, n_edges=len(circuit), faithfulness=kept, refinement=found)
