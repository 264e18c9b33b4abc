"""A forward pass under uniform masks that remembers what its backward pass needs.

With every mask = a, each branch input is x_d = (1 - a) r_d + a P_d, with r_d the run's own residual and P_d the total
of the ablation values: a plain forward pass with interpolated branch inputs. Several a are run at once, as variants.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.engine.frame import Frame
from memcirc.engine.layers import attention, join_heads, mlp, normed, turned
from memcirc.engine.plain import Outputs, Prefix, Residuals, of_layer, project
from memcirc.engine.weights import Weights
from memcirc.engine.workspace import Workspace


@dataclass(frozen=True, eq=False)
class AttentionTape:
    """Of one attention layer: its normed input, 1/scale, turned queries and keys, values, patterns and outputs."""

    hat: Tensor
    inverse: Tensor | None
    query: Tensor
    key: Tensor
    value: Tensor
    pattern: Tensor
    z: Tensor


@dataclass(frozen=True, eq=False)
class MlpTape:
    """Of one MLP: its normed input, 1/scale, and what stands before its activation."""

    hat: Tensor
    inverse: Tensor | None
    before: Tensor


@dataclass(frozen=True, eq=False)
class Tape:
    """A forward pass: ``own`` [1, variant, 1, 1] is 1 - a, the share of the run's own residual in a branch input."""

    own: Float[Tensor, "1 variant 1 1"]
    attention: tuple[AttentionTape, ...]
    mlp: tuple[MlpTape, ...]
    outputs: Outputs
    final: Float[Tensor, "batch variant step d_model"]


Replaced = Mapping[str, Tensor]


def forward(
    weights: Weights,
    frame: Frame,
    prefix: Prefix,
    embed: Float[Tensor, "batch variant_or_1 pos d_model"],
    alphas: Float[Tensor, " variant"],
    totals: Residuals,
    workspace: Workspace,
    replaced: Replaced | None = None,
) -> Tape:
    """Run all ``alphas`` over a batch.

    Args:
        embed: output of the source ``input`` in each variant.
        totals: P_d.
        workspace: holds most of the tape, which lasts until the next forward pass with it.
        replaced: outputs put in the place of those computed: ``a3`` (z of layer 3's heads) or ``m3``.
    """
    shape = weights.graph.shape
    share = alphas.view(1, -1, 1, 1)
    mixes = bool((alphas != 0).any())
    replaced = replaced or {}

    def branch(residual: Tensor, total: Tensor) -> Tensor:
        return torch.lerp(residual, total, share) if mixes else residual

    def room(name: str, layer: int, like: Tensor, width: int, dtype: torch.dtype) -> Tensor:
        return workspace.take(f"{name}{layer}", (*like.shape[:-1], width), dtype)

    residual = embed.expand(-1, len(alphas), -1, -1)
    attentions, mlps, zs, outs = [], [], [], []
    for layer, block in enumerate(weights.blocks):
        reading = layer == shape.n_layers - 1
        source = branch(residual, totals.attention[layer])
        hat, inverse = normed(weights, source, room("attention", layer, source, weights.d_model, source.dtype))
        out = room("qkv", layer, source, block.qkv.weight.shape[1], weights.dtype)
        query, key, value = project(weights, layer, hat, frame.at_read(hat, 2) if reading else hat, out)
        query = turned(frame.read_rotation if reading else frame.rotation, query)
        key = turned(frame.rotation, key)
        visible = (frame.read_visible if reading else frame.visible)[block.window]
        z, pattern = attention(weights, query, key, value, of_layer(prefix, layer), visible)
        attentions.append(AttentionTape(hat, inverse, query, key, value, pattern, z))
        zs.append(replaced.get(f"a{layer}", join_heads(z)))
        residual = frame.at_read(residual, 2) if reading else residual
        attended = residual + block.out(zs[-1])
        if shape.has_mlp:
            source = residual if shape.parallel else attended
            source = branch(source, totals.mlp[layer])
            hat, inverse = normed(weights, source, room("mlp", layer, source, weights.d_model, source.dtype))
            out, before = mlp(weights, block, hat, workspace, f"before{layer}")
            mlps.append(MlpTape(hat, inverse, before))
            outs.append(replaced.get(f"m{layer}", out))
            attended = attended + outs[-1]
        residual = attended
    final = branch(residual, totals.final)
    outputs = Outputs(embed, tuple(zs), tuple(outs))
    return Tape(1 - share, tuple(attentions), tuple(mlps), outputs, final)
