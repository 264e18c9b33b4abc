"""Do two models speak the same language inside? Before any value of one is written into the other.

Per layer, on shared prompts: mean cosine of their residual streams, and linear CKA (Kornblith et al. 2019), which a
rotation of the basis does not change. A low cosine with a high CKA is the signature of two initialisations: similar
content, another basis, so that values of one are noise to the other.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.decoder.forward import Forward
from memcirc.decoder.weights import Weights
from memcirc.decoder.workspace import Workspace

LOWEST_COSINE = 0.5
PROMPTS, LONGEST = 8, 16


@dataclass(frozen=True)
class Alignment:
    """``cosine`` and ``cka`` before each block and at the end."""

    cosine: tuple[float, ...]
    cka: tuple[float, ...]

    @property
    def aligned(self) -> bool:
        """Whether no layer's cosine is below :data:`LOWEST_COSINE`."""
        return min(self.cosine) >= LOWEST_COSINE

    @property
    def warning(self) -> str | None:
        """The warning for models that do not share a basis; None for those that do."""
        if self.aligned:
            return None
        return (
            f"the two models' residual streams have a cosine of {min(self.cosine):.2f} (below {LOWEST_COSINE}): "
            "they do not share a basis, so patches between them write noise and say nothing about where knowledge "
            "is kept"
        )


def of_streams(
    streams: Iterable[tuple[Float[Tensor, "row d_model"], Float[Tensor, "row d_model"]]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Cosines and CKAs of the residuals of two models, a pair for each place."""
    pairs = [(a.double(), b.double()) for a, b in streams]
    cosine = tuple(float(torch.cosine_similarity(a, b, dim=-1).mean()) for a, b in pairs)
    return cosine, tuple(linear_cka(a, b) for a, b in pairs)


def aligned_on(one: Weights, other: Weights, ids: Int[Tensor, "batch pos"]) -> Alignment:
    """The alignment of two models of one shape on prompts of one length."""
    runs = (Forward(weights, ids.to(weights.device), Workspace(weights.device)).residuals() for weights in (one, other))
    return Alignment(*of_streams((a.flatten(0, 1), b.flatten(0, 1).to(a.device)) for a, b in zip(*runs, strict=True)))


def on_any_prompts(one: Weights, other: Weights) -> Alignment:
    """The alignment on prompts that are at hand for every model: fixed pseudo-random tokens."""
    length = min(LONGEST, one.n_ctx)
    ids = (torch.arange(PROMPTS * length) * 7919 + 13).view(PROMPTS, length) % len(one.embedding)
    with torch.inference_mode():
        return aligned_on(one, other, ids)


def linear_cka(a: Float[Tensor, "row da"], b: Float[Tensor, "row db"]) -> float:
    """Linear centred kernel alignment: 1 for equal up to rotation and scale."""
    a, b = a - a.mean(0), b - b.mean(0)
    cross = (a.T @ b).square().sum()
    own = (a.T @ a).norm() * (b.T @ b).norm()
    return float(cross / own.clamp_min(1e-30))
