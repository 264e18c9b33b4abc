"""What a model recites and its twin, the same model without the memory, does not: scores of both, and how they differ.

- ``twin_...``: the twin's own score of the same passage;
- ``lift``: log p of the completion under the model less that under the twin, in nats; ``token_lifts`` the terms;
- ``counterfactual``: the model's ``memorization_score`` less the twin's (counterfactual memorization, Zhang et al.
  2023, with one model a side).

A passage is *learned* where the model's score reaches one threshold and the twin's is at most another, *common* where
the model's reaches it and the twin's is above the other, and otherwise *not recited*.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TWIN = "twin_"
OF_TWIN = ("exact", "prefix_match", "logprob", "token_logprobs", "memorization_score", "bleu4")
LEARNED, COMMON, NOT_RECITED = MEMORIES = ("learned", "common", "not recited")


def beside_twins(scored: pa.Table, of_twin: pa.Table) -> pa.Table:
    """Scores of a model with those of its twin, of the same passages and level, and their differences."""
    for name in OF_TWIN:
        if name in of_twin.column_names:
            scored = scored.append_column(TWIN + name, of_twin[name])
    if "logprob" in scored.column_names:
        scored = scored.append_column("lift", pc.subtract(scored["logprob"], of_twin["logprob"]))
        ours, theirs = (table["token_logprobs"].combine_chunks() for table in (scored, of_twin))
        lifts = pc.subtract(ours.flatten(), theirs.flatten())
        scored = scored.append_column("token_lifts", pa.ListArray.from_arrays(ours.offsets, lifts))
    if "memorization_score" in scored.column_names:
        difference = pc.subtract(scored["memorization_score"], of_twin["memorization_score"])
        scored = scored.append_column("counterfactual", difference)
    return scored


def memory(scores: np.ndarray, of_twin: np.ndarray, threshold: float, twin_threshold: float) -> np.ndarray:
    """For each passage one of ``MEMORIES``.

    Args:
        scores: float [passages], the model's; ``of_twin``: its twin's.
    """
    recited = scores >= threshold
    return np.where(recited, np.where(of_twin <= twin_threshold, LEARNED, COMMON), NOT_RECITED)
