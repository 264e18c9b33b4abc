"""The discovery stage: attribution sees the train split, the size is chosen on the validation split."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from memcirc.attribution.methods import method_named
from memcirc.attribution.pieces import piece, whole
from memcirc.attribution.scores import EdgeScores
from memcirc.attribution.settings import AttributionOptions
from memcirc.circuits.config import DiscoverConfig
from memcirc.circuits.minimal import MinimalCircuit, find_minimal
from memcirc.models import Model
from memcirc.options import chosen
from memcirc.pairs.record import Pairs, joined


@dataclass(frozen=True)
class Discovery:
    """Edge scores and the minimal circuit of each mode."""

    scores: EdgeScores
    minimal: dict[str, MinimalCircuit]


def scored_piece(model: Model, train: Pairs, config: DiscoverConfig, unit: int) -> pa.Table:
    """Edge scores of one unit of the pairs for attribution (see :mod:`memcirc.attribution.pieces`)."""
    size = _unit_pairs(train, config)
    part = train[unit * size : (unit + 1) * size]
    return piece(model, part, config.method, **attribution_options(config, train))


def attribution_options(config: DiscoverConfig, reference: Pairs | None = None) -> AttributionOptions:
    """How the configuration wants edges scored, besides by which method; mean ablations average over ``reference``."""
    return chosen(AttributionOptions, {**vars(config), "reference": reference})


def n_pieces(train: Pairs, config: DiscoverConfig) -> int:
    return math.ceil(len(train) / _unit_pairs(train, config))


def _unit_pairs(train: Pairs, config: DiscoverConfig) -> int:
    """Pairs in a unit: all of them where a method looks at them together."""
    return max(len(train), 1) if method_named(config.method).joint else config.unit_pairs


def discover(
    model: Model,
    train: Pairs,
    validation: Pairs,
    config: DiscoverConfig,
    modes: tuple[str, ...] = ("tree", "edge"),
    pieces: Iterable[pa.Table] | None = None,
) -> Discovery:
    """Score the edges and find the minimal circuits.

    Args:
        train: pairs for attribution; mean ablations average over them, in the search over both sets, so that the means
            reach every position.
        validation: pairs on which the size is chosen, and the circuit refined, guarded by ``train``.
        pieces: what :func:`scored_piece` has given for each unit; computed here by default.
    """
    if pieces is None:
        pieces = (scored_piece(model, train, config, unit) for unit in range(n_pieces(train, config)))
    scores = whole(model, pieces, train)
    minimal = {
        mode: find_minimal(
            model,
            validation,
            scores,
            mode=mode,
            target=config.target,
            metric=config.metric,
            by=config.by,
            selection=config.selection,
            scan=config.scan,
            also_under=config.further_ablations,
            refine=config.refine,
            guard=train,
            most_circuits=config.most_circuits,
            ablation=config.ablation,
            reverse=config.way(mode).reverse,
            reference=joined(train, validation),
            engine=config.engine,
        )
        for mode in modes
    }
    return Discovery(scores, minimal)


def statement(minimal: MinimalCircuit, mode: str, config: DiscoverConfig, validation: Pairs) -> dict[str, Any]:
    """How a circuit was found, as its file states it: run settings, target, every size measured, and on which pairs."""
    return {
        "mode": mode,
        "reverse": config.way(mode).reverse,
        "ablation": config.ablation,
        "also_under": list(config.further_ablations),
        "prefix": minimal.prefix,
        "prefix_alone": minimal.alone,
        "metric": config.metric,
        "target": config.target,
        "target_met": minimal.target_met,
        "faithfulness": minimal.faithfulness,
        "lower_bound": minimal.lower_bound,
        "monotone": minimal.monotone,
        "evaluated": {str(size): value for size, value in minimal.evaluated.items()},
        "size_chosen_on": {"split": "validation", "pairs": len(validation), "data_fingerprint": validation.fingerprint},
    }
