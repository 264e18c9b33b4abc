"""The minimal circuit: the smallest prefix of a ranking of edges that keeps the target faithfulness."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from memcirc.attribution.scores import EdgeScores
from memcirc.circuit import Circuit
from memcirc.circuits.runner import RUNNER_OPTIONS, circuit_runner
from memcirc.circuits.search import smallest_size
from memcirc.models import Model
from memcirc.options import refuse_keywords
from memcirc.pairs.record import Pairs


@dataclass(frozen=True)
class MinimalCircuit:
    """A circuit with the faithfulness measured of exactly this circuit; the other fields are
    :class:`memcirc.circuits.search.SizeSearch`'s."""

    circuit: Circuit
    n_edges: int
    faithfulness: float
    evaluated: Mapping[int, float]
    lower_bound: int
    monotone: bool
    target_met: bool


def find_minimal(
    model: Model,
    pairs: Pairs,
    scores: EdgeScores,
    *,
    mode: str,
    target: float = 0.85,
    metric: str = "logit_diff",
    by: str = "abs",
    selection: str = "top",
    scan: bool = True,
    **options: Any,
) -> MinimalCircuit:
    """The smallest circuit among the prefixes of one ranking that reaches ``target`` of the full model's faithfulness.

    Args:
        pairs: what faithfulness is measured on (the validation split).
        by, selection: which ranking (:meth:`EdgeScores.order`).
        options: of :func:`memcirc.circuits.runner.circuit_runner`: ablation, reverse, reference, dangling, engine, ...

    Raises:
        TypeError: an option that there is not.
        ValueError: scores of another graph, a target outside (0, 1], ends that coincide.
    """
    refuse_keywords("find_minimal", options, RUNNER_OPTIONS)
    runner = circuit_runner(model, pairs, mode=mode, **options)
    if scores.graph != runner.graph:
        raise ValueError(
            f"scores of a graph of {scores.graph.n_edges} edges, a model of {runner.graph.n_edges}: not the same graph"
        )
    order = scores.order(by, selection)
    found = smallest_size(
        lambda sizes: runner.faithfulness(prefix_masks(order, sizes), metric).tolist(),
        scores.graph.n_edges,
        target,
        scan,
    )
    chosen = frozenset(scores.graph.edges[i] for i in order[: found.n_edges].tolist())
    return MinimalCircuit(Circuit(chosen, {**scores.origin, "selection": selection, "by": by}), **asdict(found))


def prefix_masks(order: Int[Tensor, " n_edges"], sizes: Sequence[int]) -> Bool[Tensor, "sizes n_edges"]:
    """The circuits made of the first n edges of a ranking."""
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    return rank[None, :] < torch.tensor(list(sizes))[:, None]
