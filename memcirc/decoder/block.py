"""How a block is wired, as functions of plain weights. Activations are [batch, variant, pos, ...]: a variant is an
interpolation step or a circuit, run over the same prompts.

With r the residual stream, n the norm before a branch and N the one after it (either may be missing),

    attention(r) = N(sum over heads of z_h W_O) * multiplier,      mlp(r) = N(down(inner(n(r)))) * multiplier,
    sequential: r' = r + attention(r),  r'' = r' + mlp(r');        parallel: r'' = r + attention(r) + mlp(r).

The branches: :mod:`memcirc.decoder.attention`, :mod:`memcirc.decoder.mlp`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.weights import Weights

Step = Callable[[int, Tensor], Tensor]


def _same(layer: int, x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class Steps:
    """What a pass does in each block, given the layer's number and a residual.

    Attributes:
        attention, mlp: what the branch writes, given the residual that it reads.
        trim: takes the positions that are wanted behind the attention.
        between: what becomes of the residual between the two branches of a sequential block.
    """

    attention: Step
    mlp: Step
    trim: Step = _same
    between: Step = _same


def run_blocks(weights: Weights, residual: Tensor, steps: Steps) -> Tensor:
    """The residual behind all blocks."""
    for layer in range(len(weights.blocks)):
        residual = run_block(weights, layer, residual, steps)
    return residual


def run_block(weights: Weights, layer: int, residual: Tensor, steps: Steps) -> Tensor:
    """The residual behind a block: which residual each branch reads, and how what they write joins it."""
    write = steps.attention(layer, residual)
    residual = steps.trim(layer, residual)
    if weights.blocks[layer].mlp is None:
        return residual + write
    if weights.graph.shape.parallel:
        return residual + write + steps.mlp(layer, residual)
    residual = steps.between(layer, residual + write)
    return residual + steps.mlp(layer, residual)


def final_normed(
    weights: Weights, x: Float[Tensor, "*rows d_model"], fixed_scale: bool = False
) -> Float[Tensor, "*rows d_model"]:
    """The last residual after the final norm, as the unembedding reads it. A ``fixed_scale`` is a constant to
    differentiation."""
    norm = weights.final_norm
    if norm is None:
        return x
    hat, inverse = norm.hat(x)
    if fixed_scale:
        hat = (x - x.mean(-1, keepdim=True) if norm.centred else x) * inverse.detach()
    return norm.scaled(hat)
