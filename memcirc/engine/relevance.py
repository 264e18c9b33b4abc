"""RelP (Jafari et al. 2025): attribution patching with relevance in place of gradients.

One backward pass on the clean prompt in which norm scales, attention patterns and gates are constants and an
activation f(x) = x * f(x)/x passes its factor f(x)/x (:mod:`memcirc.engine.backward`, *relevance*):

    score of s -> d = <R_d, p_s - c_s>.
"""

import torch
from torch import Tensor

from memcirc.engine.scoring import Scoring
from memcirc.models import Model
from memcirc.pairs.record import Pairs


def relevance(
    model: Model,
    pairs: Pairs,
    objective: str,
    ablation: str = "resample",
    reference: Pairs | None = None,
    batch_size: int | None = None,
    per_example: bool = False,
) -> Tensor:
    """Scores of ``relp``; arguments as in :func:`memcirc.engine.mask_gradients.mask_gradients`."""
    with torch.inference_mode(False), torch.no_grad():
        scoring = Scoring(model, pairs, objective, ablation, reference, batch_size, per_example)
        for batch in scoring:
            (clean,) = batch.chunks([0.0])
            tape = batch.forward(clean)
            batch.add(tape, batch.differences(tape.outputs), relevance=True)
        return scoring.mean()
