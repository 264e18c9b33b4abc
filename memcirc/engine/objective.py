"""The loss that attribution differentiates, L = -objective, and its gradient at the final residual."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.block import final_normed
from memcirc.decoder.weights import Weights
from memcirc.engine.frame import Frame
from memcirc.metrics import COLUMNS, SEQUENCE, Labels, Metric


def all_logits(
    weights: Weights, hat: Float[Tensor, "batch variant step d_model"]
) -> Float[Tensor, "batch variant step d_vocab"]:
    """Logits from the normed final residual."""
    return weights.read_out(weights.unembed(hat))


def answer_logits(
    weights: Weights, frame: Frame, hat: Float[Tensor, "batch variant step d_model"]
) -> Float[Tensor, "batch variant step alternative"]:
    """The logits of each pair's answers alone."""
    hat = hat.to(weights.dtype)
    columns = weights.unembed.weight.T[frame.answers.columns]
    logits = torch.einsum("bvsd,bad->bvsa", hat, columns)
    if weights.unembed.bias is not None:
        logits = logits + weights.unembed.bias[frame.answers.columns][:, None, None]
    return weights.read_out(logits)


def compared_logits(
    weights: Weights, final: Float[Tensor, "batch variant step d_model"]
) -> Float[Tensor, "batch d_vocab"]:
    """What an objective compares with: the logits of the model's own run, given by its final residual."""
    return all_logits(weights, final_normed(weights, final))[:, 0, 0]


def objective_values(
    weights: Weights,
    frame: Frame,
    final: Float[Tensor, "batch variant step d_model"],
    objective: Metric,
    reference: Float[Tensor, "batch d_vocab"] | None,
    fixed_scale: bool = False,
) -> Float[Tensor, "variant batch"]:
    """The objective of each pair in each variant; ``reference`` are the logits that ``kl`` compares with, and a
    ``fixed_scale`` of the final norm is a constant to differentiation."""
    hat = final_normed(weights, final, fixed_scale)
    labels = Labels(frame.answers, frame.targets, frame.target_mask, reference)
    if objective.reads == COLUMNS:
        return objective(answer_logits(weights, frame, hat)[:, :, 0].transpose(0, 1), labels)
    logits = rearrange(all_logits(weights, hat), "batch variant step vocab -> variant batch step vocab")
    return objective(logits if objective.reads == SEQUENCE else logits[:, :, 0], labels)


def loss_gradient(
    weights: Weights,
    frame: Frame,
    final: Float[Tensor, "batch variant step d_model"],
    objective: Metric,
    reference: Float[Tensor, "batch d_vocab"] | None,
    fixed_scale: bool = False,
) -> Float[Tensor, "batch variant step d_model"]:
    """Gradient of -objective at the final residual, each pair's own."""
    with torch.enable_grad():
        final = final.detach().requires_grad_(True)
        loss = -objective_values(weights, frame, final, objective, reference, fixed_scale).sum()
        (gradient,) = torch.autograd.grad(loss, final)
    return gradient
