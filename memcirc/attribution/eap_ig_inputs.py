"""EAP-IG over inputs (Hanna et al. 2024): the model runs unmasked on embeddings between corrupt and clean, and the
gradients along that path meet fixed differences corrupt - clean.

    score of s -> d = 1/m sum over a of <dL/dx_d at embedding corrupt + a (clean - corrupt), p_s - c_s>

with a = i/m for i = 0..m-1 (the authors' current code) or 1..m (the paper).
"""

import torch
from torch import Tensor

from memcirc.attribution.grids import GRIDS
from memcirc.attribution.method import Method
from memcirc.engine.request import Request
from memcirc.engine.scoring import Scoring
from memcirc.interventions import Ablation


def input_gradients(request: Request) -> Tensor:
    """Edge scores, the m steps on one of ``GRIDS``.

    Raises:
        ValueError: fewer than one step, an unknown grid, an ablation other than resample.
    """
    steps, grid = request.steps, request.grid
    if steps < 1:
        raise ValueError(f"steps {steps} is out of range; accepted: 1 and above")
    if grid not in GRIDS:
        raise ValueError(f"grid {grid!r} is not known; accepted: {', '.join(GRIDS)}")
    if not Ablation.parse(request.ablation).other_prompt:
        raise ValueError(f"eap-ig-inputs is not defined for ablation {request.ablation!r}; accepted: resample")
    first = GRIDS.index(grid)
    with torch.inference_mode(False), torch.no_grad():
        scoring = Scoring(request)
        for batch in scoring:
            differences = batch.differences(batch.plain_outputs())
            corrupt = batch.values.outputs.embed
            for some in batch.chunks([i / steps for i in range(first, first + steps)]):
                embed = torch.lerp(corrupt, batch.embed, some.view(1, -1, 1, 1))
                batch.add(batch.forward(torch.zeros_like(some), embed), differences)
        return scoring.mean() / steps


METHOD = Method(input_gradients, engines=("native",), defined_for=lambda ablation: ablation.other_prompt)
