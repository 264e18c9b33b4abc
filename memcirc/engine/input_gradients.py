"""EAP-IG over inputs (Hanna et al. 2024): the model runs unmasked on embeddings between corrupt and clean, and the
gradients along that path meet fixed differences corrupt - clean.

    score of s -> d = 1/m sum over a of <dL/dx_d at embedding corrupt + a (clean - corrupt), p_s - c_s>

with a = i/m for i = 0..m-1 (the authors' current code) or 1..m (the paper).
"""

import torch
from torch import Tensor

from memcirc.engine.scoring import Scoring
from memcirc.interventions import Ablation
from memcirc.models import Model
from memcirc.pairs.record import Pairs

GRIDS = ("0..m-1", "1..m")


def input_gradients(
    model: Model,
    pairs: Pairs,
    steps: int,
    objective: str,
    grid: str = "0..m-1",
    ablation: str = "resample",
    batch_size: int | None = None,
    per_example: bool = False,
) -> Tensor:
    """Scores of ``eap-ig-inputs``; arguments not named here as in
    :func:`memcirc.engine.mask_gradients.mask_gradients`.

    Args:
        steps: m, at least 1.
        grid: one of ``GRIDS``.

    Raises:
        ValueError: fewer than one step, an unknown grid, an ablation other than resample.
    """
    if steps < 1:
        raise ValueError(f"steps {steps} is out of range; accepted: 1 and above")
    if grid not in GRIDS:
        raise ValueError(f"grid {grid!r} is not known; accepted: {', '.join(GRIDS)}")
    if not Ablation.parse(ablation).other_prompt:
        raise ValueError(f"eap-ig-inputs is not defined for ablation {ablation!r}; accepted: resample")
    first = GRIDS.index(grid)
    with torch.inference_mode(False), torch.no_grad():
        scoring = Scoring(model, pairs, objective, ablation, None, batch_size, per_example)
        for batch in scoring:
            differences = batch.differences(batch.plain_outputs())
            corrupt = batch.values.outputs.embed
            for some in batch.chunks([i / steps for i in range(first, first + steps)]):
                embed = torch.lerp(corrupt, batch.embed, some.view(1, -1, 1, 1))
                batch.add(batch.forward(torch.zeros_like(some), embed), differences)
        return scoring.mean() / steps
