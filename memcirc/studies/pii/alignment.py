"""Do two models speak the same language inside? Before any value of one is written into the other.

1. Per layer, on shared prompts: mean cosine of their residual streams, and linear CKA (Kornblith et al. 2019), which a
   rotation of the basis does not change. A low cosine with a high CKA is the signature of two initialisations: similar
   content, another basis, so that values of one are noise to the other.
2. The answer's log-probability from {last residual of one or the other} x {final norm and unembedding of one or the
   other}: if the bases agree, mixed pairs lie between the pure ones.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.patching.measures import Question
from memcirc.patching.runs import run
from memcirc.patching.sides import Comparison

LOWEST_COSINE = 0.5


@dataclass(frozen=True)
class Alignment:
    """``cosine`` and ``cka`` before each block and at the end; ``swaps``: mean log-probability of the answer by whose
    residual and whose unembedding."""

    cosine: tuple[float, ...]
    cka: tuple[float, ...]
    swaps: dict[str, float]

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


def align(comparison: Comparison, question: Question) -> Alignment:
    """The alignment report of two runs whose one metric is the log-probability of whole answers."""
    base, source = comparison.base, comparison.source
    runs = {
        "control": run(base.weights, base.prompts, ["resid_pre"]),
        "target": run(source.weights, source.prompts, ["resid_pre"]),
    }
    width = base.prompts.ids.shape[1]
    real = torch.arange(width, device=base.prompts.ids.device) < base.prompts.lengths[:, None]
    cosine, cka = [], []
    n_layers = comparison.n_layers
    for layer in range(n_layers + 1):
        if layer < n_layers:
            a, b = (runs[name].found["resid_pre", layer][real].double() for name in runs)
        else:
            a, b = (runs[name].final.flatten(0, 1).double() for name in runs)
        cosine.append(float(torch.cosine_similarity(a, b, dim=-1).mean()))
        cka.append(linear_cka(a, b))
    examples = torch.arange(len(base.prompts), device=base.prompts.ids.device)
    swaps = {
        f"residual of the {name}, unembedding of the {head}": float(
            question.of_final(side.weights, runs[name].final, examples)[0].mean()
        )
        for name in runs
        for head, side in (("control", base), ("target", source))
    }
    return Alignment(tuple(cosine), tuple(cka), swaps)


def linear_cka(a: Float[Tensor, "row da"], b: Float[Tensor, "row db"]) -> float:
    """Linear centred kernel alignment: 1 for equal up to rotation and scale."""
    a, b = a - a.mean(0), b - b.mean(0)
    cross = (a.T @ b).square().sum()
    own = (a.T @ a).norm() * (b.T @ b).norm()
    return float(cross / own.clamp_min(1e-30))
