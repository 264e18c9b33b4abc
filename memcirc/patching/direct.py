"""Direct logit attribution: what each component adds to an answer's logit without any other component in between.

The last residual is the sum of all outputs, and with the final norm's scale taken as it is in the run the logits are
linear in it (before a soft cap, where the model has one). A component that wrote c therefore adds

    ((c - mean(c)) / scale * gain) . direction        (without the mean for an RMS norm)

to a logit difference whose direction is W_U[answer] - W_U[wrong]. With the biases' share the parts sum to it exactly.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.decoder.attention import head_outputs, written
from memcirc.decoder.weights import Weights
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
    plain = run(weights, prompts, kinds)
    last, rows = prompts.read[:, 0], torch.arange(len(prompts), device=prompts.ids.device)
    unembed = weights.unembed.weight.to(weights.stream_dtype)
    bias = torch.zeros_like(unembed[0]) if weights.unembed.bias is None else weights.unembed.bias
    direction, shift = unembed[:, answer].T, bias[answer]
    if wrong is not None:
        direction, shift = direction - unembed[:, wrong].T, shift - bias[wrong]
    elif against_mean:
        direction, shift = direction - unembed.mean(1), shift - bias.mean()
    direction, shift = direction * weights.logit_scale, shift * weights.logit_scale
    norm = weights.final_norm
    if norm is not None:
        if norm.bias is not None:
            shift = shift + direction @ norm.bias.to(direction)
        _, inverse = norm.hat(plain.final[:, 0])
        direction = direction if norm.gain is None else direction * norm.gain
        direction = direction - direction.mean(-1, keepdim=True) if norm.centred else direction
        direction = direction * inverse
    heads, mlps = [], []
    attention_bias = torch.zeros_like(direction[0])
    for layer, block in enumerate(weights.blocks):
        z = plain.found["z", layer][rows, last]
        own = written(block.attention, z.flatten(1))[0].unflatten(-1, z.shape[1:])
        heads.append(_head_effects(own, head_outputs(weights, layer), direction))
        attention_bias = attention_bias + block.attention.bias
        out = None if block.mlp is None else plain.found["mlp_out", layer][rows, last]
        mlps.append(torch.zeros_like(direction[:, 0]) if out is None else (out * direction).sum(-1))
    embed = (plain.found["resid_pre", 0][rows, last] * direction).sum(-1)
    biases = direction @ attention_bias.to(direction) + shift
    return DirectEffects(embed, torch.stack(heads, dim=1), torch.stack(mlps, dim=1), biases)


def _head_effects(z: Tensor, out: Tensor, direction: Tensor) -> Float[Tensor, "batch head"]:
    return torch.einsum("bhd,hdm,bm->bh", z.to(direction), out.to(direction), direction)
