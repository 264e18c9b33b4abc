"""Random masks whose mean falls or rises with a number, the edge's *logit*, so that masks can be learned by gradients.

- *Hard concrete* (Louizos et al. 2018, with the constants of Edge Pruning, Bhaskar et al. 2024): for u uniform,
  s = sigmoid((log u - log(1 - u) + logit) / (2/3)), the mask is s stretched to [-0.1, 1.1] and cut to [0, 1]. It is
  above 0 with probability sigmoid(logit - 2/3 log(0.1/1.1)), which is the edge's part of L0.
- *Uniform* (uniform gradient sampling, Li and Janson 2024): with t = sigmoid(logit), the mask is uniform on [0, 1] with
  probability t (1 - t), else 0 or 1, and its mean is t. Where it is uniform the loss's gradient at the mask has as its
  mean what the loss is at 1 less what it is at 0; so that gradient, and 0 elsewhere, estimates the gradient at the
  logit of the loss under masks that are 1 with probability t, and else 0. The edge's part of L0 is t.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Logits = Float[Tensor, " n_edges"]
Draws = Float[Tensor, "draw n_edges"]

TEMPERATURE, LOW, HIGH = 2 / 3, -0.1, 1.1


@dataclass(frozen=True)
class Relaxation:
    """``draw`` gives masks and the factors that turn gradients at the masks into gradients at the logits, from logits
    and uniform numbers [draw, n_edges, 2]; ``at_work`` the probability with which each edge counts."""

    draw: Callable[[Logits, Float[Tensor, "draw n_edges 2"]], tuple[Draws, Draws]]
    at_work: Callable[[Logits], Logits]


def _hard_concrete(logits: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    noise = torch.logit(uniform[..., 0], eps=1e-6)
    soft = torch.sigmoid((noise + logits) / TEMPERATURE)
    stretched = LOW + (HIGH - LOW) * soft
    inside = (stretched > 0) & (stretched < 1)
    return stretched.clamp(0, 1), inside * soft * (1 - soft) * ((HIGH - LOW) / TEMPERATURE)


def _uniform(logits: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    mean = torch.sigmoid(logits)
    window = mean * (1 - mean)
    where, value = uniform.unbind(-1)
    inside = where < window
    kept = where >= 1 - (mean - window / 2)
    return torch.where(inside, value, kept.to(value.dtype)), inside.to(value.dtype)


HARD_CONCRETE = Relaxation(_hard_concrete, lambda logits: torch.sigmoid(logits - TEMPERATURE * math.log(-LOW / HIGH)))
UNIFORM = Relaxation(_uniform, torch.sigmoid)
