"""Direct logit attribution: what each component adds to an answer's logit without any other component in between.

The last residual is the sum of all outputs, and with the final norm's scale taken as it is in the run the logits are
linear in it. A component that wrote c therefore adds

    ((c - mean(c)) / scale * gain) . direction        (without the mean for an RMS norm)

to a logit difference whose direction is W_U[answer] - W_U[wrong]. With the biases' share the parts sum to it exactly.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.engine.layers import normed
from memcirc.engine.weights import Weights
from memcirc.patching.prompts import Prompts
from memcirc.patching.runs import run


@dataclass(frozen=True, eq=False)
class DirectEffects:
    """Shares of a logit (difference): embeddings, heads, MLPs, and all biases together (attention output, final norm,
    unembedding)."""

    embed: Float[Tensor, " batch"]
    heads: Float[Tensor, "batch layer head"]
    mlps: Float[Tensor, "batch layer"]
    biases: Float[Tensor, " batch"]

    @property
    def total(self) -> Float[Tensor, " batch"]:
        """The sum of all shares: the logit (difference) itself."""
        return self.embed + self.heads.sum((1, 2)) + self.mlps.sum(1) + self.biases


def direct_effects(
    weights: Weights,
    prompts: Prompts,
    answer: Int[Tensor, " batch"],
    wrong: Int[Tensor, " batch"] | None = None,
    against_mean: bool = False,
) -> DirectEffects:
    """Direct effects at the end of each prompt.

    Args:
        answer, wrong: tokens whose logits (difference, or that of the answer alone) are divided up.
        against_mean: the answer's logit minus the mean of all tokens' logits.
    """
    kinds = ["resid_pre", "z"] + ["mlp_out"] * weights.graph.shape.has_mlp
    plain, outs = run(weights, prompts, kinds), weights.head_outputs
    last, rows = prompts.read[:, 0], torch.arange(len(prompts), device=prompts.ids.device)
    unembed = weights.unembed.weight.to(weights.stream_dtype)
    direction, shift = unembed[:, answer].T, weights.unembed.bias[answer]
    if wrong is not None:
        direction, shift = direction - unembed[:, wrong].T, shift - weights.unembed.bias[wrong]
    elif against_mean:
        direction, shift = direction - unembed.mean(1), shift - weights.unembed.bias.mean()
    if weights.final_bias is not None:
        shift = shift + direction @ weights.final_bias.to(direction)
    if weights.final_gain is not None:
        direction = direction * weights.final_gain
    _, inverse = normed(weights, plain.final[:, 0])
    scale = 1.0 if inverse is None else inverse
    if weights.norm == "layer":
        direction = direction - direction.mean(-1, keepdim=True)
    direction = direction * scale
    heads = torch.stack(
        [_head_effects(plain.found["z", layer][rows, last], out, direction) for layer, out in enumerate(outs)], dim=1
    )
    n_layers = len(weights.blocks)
    mlps = [
        (plain.found["mlp_out", layer][rows, last] * direction).sum(-1) if weights.graph.shape.has_mlp else
        torch.zeros_like(direction[:, 0])
        for layer in range(n_layers)
    ]  # fmt: skip
    attention_bias = sum((block.out.bias for block in weights.blocks), torch.zeros_like(direction[0]))
    biases = direction @ attention_bias.to(direction) + shift
    embed = (plain.found["resid_pre", 0][rows, last] * direction).sum(-1)
    return DirectEffects(embed, heads, torch.stack(mlps, dim=1), biases)


def _head_effects(z: Tensor, out: Tensor, direction: Tensor) -> Float[Tensor, "batch head"]:
    return torch.einsum("bhd,hdm,bm->bh", z.to(direction), out.to(direction), direction)
