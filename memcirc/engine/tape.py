"""The forward pass with all masks at one value a, which keeps what the backward pass needs
(:mod:`memcirc.engine.backward`).

In the model in which every edge has mask a, a destination d reads (1 - a) r_d + a P_d, with r_d the run's own residual
and P_d the total of the ablation values: a plain forward pass with interpolated branch inputs. Several a are run at
once, as variants.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.attention import join_heads, project, written
from memcirc.decoder.block import Steps, run_blocks
from memcirc.decoder.mlp import Inner, feed
from memcirc.decoder.norm import Norm, hat_of, scaled
from memcirc.engine.batch import EngineBatch
from memcirc.engine.outputs import Outputs
from memcirc.engine.plain import Residuals


@dataclass(frozen=True, eq=False)
class AttentionTape:
    """Of one attention layer: the hat of its input and 1/scale; queries, keys and values as its matrices gave them, and
    turned; patterns and outputs; the post norm's hat and 1/scale."""

    hat: Tensor
    inverse: Tensor | None
    raw: tuple[Tensor, Tensor, Tensor]
    query: Tensor
    key: Tensor
    pattern: Tensor
    z: Tensor
    post: tuple[Tensor, Tensor] | None

    @property
    def value(self) -> Tensor:
        return self.raw[2]


@dataclass(frozen=True, eq=False)
class MlpTape:
    """Of one MLP: the hat of its input, 1/scale, and its inner layer."""

    hat: Tensor
    inverse: Tensor | None
    inner: Inner


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
    batch: EngineBatch,
    embed: Float[Tensor, "batch variant_or_1 pos d_model"],
    alphas: Float[Tensor, " variant"],
    totals: Residuals,
    replaced: Replaced | None = None,
) -> Tape:
    """Run all ``alphas`` over a batch, whose workspace holds most of the tape until the next forward pass with it.

    Args:
        embed: output of the source ``input`` in each variant.
        totals: P_d.
        replaced: what a branch writes in place of what it computes: ``a3`` (the attention of layer 3) or ``m3``.
    """
    weights, frame = batch.weights, batch.frame
    share, mixes, replaced = alphas.view(1, -1, 1, 1), bool((alphas != 0).any()), replaced or {}
    attentions: list[AttentionTape] = []
    mlps: list[MlpTape] = []
    zs: list[Tensor] = []
    outs: list[Tensor] = []

    def branch(residual: Tensor, total: Tensor) -> Tensor:
        return torch.lerp(residual, total, share) if mixes else residual

    def room(name: str, like: Tensor, width: int, dtype: torch.dtype) -> Tensor:
        return batch.workspace.take(name, (*like.shape[:-1], width), dtype)

    def normed(name: str, norm: Norm | None, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Hat and 1/scale, to be kept, and what products read, which lasts until the next branch."""
        hat, inverse = hat_of(norm, x, room(name, x, weights.d_model, x.dtype))
        return hat, inverse, scaled(norm, hat, room("scaled", x, weights.d_model, x.dtype))

    def attention(layer: int, residual: Tensor) -> Tensor:
        part, reading = weights.blocks[layer].attention, layer == batch.last
        hat, inverse, x = normed(f"attention{layer}", part.norm, branch(residual, totals.attention[layer]))
        query_x = frame.at_read(x, 2) if reading else x

        def take(name: str, width: int) -> Tensor:
            return room(f"{name}{layer}", query_x if name == "query" else x, width, weights.dtype)

        raw = project(part, x, query_x, take)
        query, key = batch.turned_query(layer, raw[0], reading), batch.turned_key(layer, raw[1])
        z, pattern = batch.attended(layer, query, key, raw[2], reading)
        own, write, post = written(part, join_heads(z))
        attentions.append(AttentionTape(hat, inverse, raw, query, key, pattern, z, post))
        zs.append(own)
        return replaced.get(f"a{layer}", write)

    def mlp(layer: int, residual: Tensor) -> Tensor:
        part = weights.blocks[layer].mlp
        assert part is not None
        hat, inverse, x = normed(f"mlp{layer}", part.norm, branch(residual, totals.mlp[layer]))
        out, inner = feed(part, x, batch.workspace, f"before{layer}")
        mlps.append(MlpTape(hat, inverse, inner))
        outs.append(out)
        return replaced.get(f"m{layer}", out)

    def trim(layer: int, residual: Tensor) -> Tensor:
        return frame.at_read(residual, 2) if layer == batch.last else residual

    start = embed.expand(-1, len(alphas), -1, -1)
    residual = run_blocks(weights, start, Steps(attention, mlp, trim))
    outputs = Outputs(weights, embed, tuple(zs), tuple(outs))
    return Tape(1 - share, tuple(attentions), tuple(mlps), outputs, branch(residual, totals.final))
