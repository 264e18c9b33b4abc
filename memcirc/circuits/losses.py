"""The loss of true completions under circuits, in nats a token."""

import numpy as np
from torch import Tensor

from memcirc.circuits.runner import circuit_runner
from memcirc.interventions import Way
from memcirc.models import Model
from memcirc.pairs.record import Pairs


def losses(
    model: Model, pairs: Pairs, kept: Tensor, way: Way, reference: Pairs | None = None, engine: str = "native"
) -> np.ndarray:
    """float64 [circuits, pairs]: nats a token of the true completion with only ``kept`` intact, one circuit a row."""
    runner = circuit_runner(model, pairs, mode=way.mode, ablation=way.ablation, reference=reference, engine=engine)
    n_tokens = np.array([len(pair.answer_sequence_ids) for pair in pairs])
    return -runner.per_pair(kept, "sequence_logprob").double().cpu().numpy() / n_tokens
