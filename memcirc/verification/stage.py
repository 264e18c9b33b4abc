"""The verification stage: a run's circuits on held-out pairs, in the combinations that the configuration names."""

from collections.abc import Mapping
from typing import Any

from memcirc.attribution.scores import EdgeScores
from memcirc.circuit import Circuit
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from memcirc.verification.config import VerifyConfig
from memcirc.verification.verify import Verification, verify


def verify_circuits(
    model: Model,
    pairs: Pairs,
    reference: Pairs,
    scores: EdgeScores,
    circuits: Mapping[str, Circuit],
    config: VerifyConfig,
) -> Verification:
    """Verify each mode's circuit in that mode.

    Args:
        pairs: what is measured on.
        reference: pairs that mean ablations average over; as long as the longest of ``pairs``.
        circuits: by mode.
    """
    result = Verification({})
    for mode, circuit in circuits.items():
        one = verify(
            model,
            pairs,
            scores,
            mode=mode,
            circuit=circuit,
            ablations=config.ablations,
            directions=config.directions,
            reference=reference,
            engine=config.engine,
            metric=config.optimize_metric,
            n_random=config.random_circuits,
            curve_points=config.curve_points,
            seed=config.seed,
        )
        result = result.merged(one)
    per_mode: dict[str, Any] = {mode: {"n_edges": len(c), "origin": dict(c.origin)} for mode, c in circuits.items()}
    statement = {k: v for k, v in result.statement.items() if k not in ("mode", "n_edges", "origin")}
    return Verification(
        {**statement, "circuits": per_mode}, result.faithfulness, result.random, result.curve, result.refused
    )
