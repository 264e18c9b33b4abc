"""RelP (Jafari et al. 2025): attribution patching with relevance in place of gradients.

One backward pass on the clean prompt in which norm scales, attention patterns and gates are constants and an
activation f(x) = x * f(x)/x passes its factor f(x)/x (:mod:`memcirc.engine.backward`, *relevance*):

    score of s -> d = <R_d, p_s - c_s>.
"""

import torch
from torch import Tensor

from memcirc.attribution.method import Method, check_slope
from memcirc.engine.request import Request
from memcirc.engine.scoring import Scoring


def relevance(request: Request) -> Tensor:
    """Edge scores, float [n_edges] or [pairs, n_edges], as the request asks."""
    check_slope("relp", request.objective)
    with torch.inference_mode(False), torch.no_grad():
        scoring = Scoring(request)
        for batch in scoring:
            (clean,) = batch.chunks([0.0])
            tape = batch.forward(clean)
            batch.add(tape, batch.differences(tape.outputs), relevance=True)
        return scoring.mean()


METHOD = Method(relevance, engines=("native",))
