"""The minimal circuit: the smallest prefix of a ranking of edges that keeps the target faithfulness."""

from dataclasses import dataclass
from typing import Unpack

from memcirc.attribution.scores import EdgeScores, Ranking
from memcirc.circuit import Circuit
from memcirc.circuits.runner import RunnerOptions, circuit_runner
from memcirc.circuits.search import SizeSearch, smallest_size
from memcirc.models import Model
from memcirc.options import chosen, refuse_keywords
from memcirc.pairs.record import Pairs


class SearchOptions(RunnerOptions, total=False):
    """What :func:`find_minimal` takes by name: which ranking (:meth:`EdgeScores.order`), whether smaller sizes are
    looked at (:func:`memcirc.circuits.search.smallest_size`), and a runner's options."""

    by: str
    selection: str
    scan: bool


@dataclass(frozen=True)
class MinimalCircuit(SizeSearch):
    """The circuit of the size that was found; ``faithfulness`` is that of exactly this circuit."""

    circuit: Circuit


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
    """The smallest circuit among the prefixes of one ranking that reaches ``target`` of the full model's faithfulness.

    Args:
        pairs: what faithfulness is measured on (the validation split).
        options: of :class:`SearchOptions`: ``by`` ("abs"), ``selection`` ("top"), ``scan`` (True), and those of
            :func:`memcirc.circuits.runner.circuit_runner`.

    Raises:
        TypeError: an option that there is not.
        ValueError: scores of another graph, a target outside (0, 1], ends that coincide.
    """
    refuse_keywords("find_minimal", options, SearchOptions.__annotations__)
    ranking = Ranking(scores, options.get("by", "abs"), options.get("selection", "top"))
    runner = circuit_runner(model, pairs, mode=mode, **chosen(RunnerOptions, options))
    if scores.graph != runner.graph:
        raise ValueError(
            f"scores of a graph of {scores.graph.n_edges} edges, a model of {runner.graph.n_edges}: not the same graph"
        )
    found = smallest_size(
        lambda sizes: runner.faithfulness(ranking.masks(sizes), metric).tolist(),
        scores.graph.n_edges,
        target,
        options.get("scan", True),
    )
    return MinimalCircuit(**vars(found), circuit=scores.first(found.n_edges, ranking.by, ranking.selection))
