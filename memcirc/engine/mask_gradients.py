"""Gradients of all masks at uniform mask values: EAP at a = 0 (Syed et al. 2023), mask-ig summed over several a
(AutoCircuit's ``mask_gradient_prune_scores``).

For L = -objective with every mask at a, on the clean prompt: dL/dm_sd = sum over positions of <dL/dx_d, p_s - c_s>,
c_s being that run's own output. At a = 1 under ``resample`` every branch reads the other run exactly, so all scores
are 0 but that of ``input->logits``, which needs no pass.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from memcirc.engine.request import Request
from memcirc.engine.scoring import ScoredBatch, Scoring


def mask_gradients(request: Request, alphas: Sequence[float]) -> Tensor:
    """Sum over ``alphas`` of dL/dm at all masks = alpha, with L = -objective.

    Args:
        alphas: mask values in [0, 1]; an edge with mask 1 carries its ablation value.

    Returns:
        float [n_edges] in the graph's order, or [pairs, n_edges]; at least float32.

    Raises:
        ValueError: an alpha outside [0, 1], an unknown objective or ablation, unusable pairs.
    """
    for alpha in alphas:
        if not 0 <= alpha <= 1:
            raise ValueError(f"mask value {alpha} is out of range; accepted: 0 to 1")
    with torch.inference_mode(False), torch.no_grad():
        scoring = Scoring(request)
        closed = [alpha for alpha in alphas if alpha == 1 and scoring.ablation.rests]
        for batch in scoring:
            for some in batch.chunks([alpha for alpha in alphas if alpha not in closed]):
                tape = batch.forward(some)
                batch.add(tape, batch.differences(tape.outputs))
            if closed:
                batch.scores[..., -1, 0] += len(closed) * _input_to_logits(batch)
        return scoring.mean()


def _input_to_logits(batch: ScoredBatch) -> Tensor:
    """The one score at a = 1 under ``resample``: a number, or one a pair."""
    gradient = batch.loss_gradient(batch.values.totals.final)
    difference = batch.frame.at_read(batch.values.outputs.embed - batch.embed, 2)
    share = (gradient * difference).sum((1, 2, 3))
    return share if batch.scores.ndim == 3 else share.sum()
