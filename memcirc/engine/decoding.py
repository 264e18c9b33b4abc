"""Greedy generation under a circuit, with keys and values kept from token to token.

A circuit C runs in tree mode on the clean prompt: x_d = P_d + sum over kept (c_s - p_s). At every generated position
the ablation values p_s come from the corrupt prompt followed by the same generated tokens (``resample``), from the
twin on the same tokens (``twin``), from the means of a reference at that position, or are zero. Ablating C alone is
keeping its complement.

1. The other prompt's, or the twin's, plain run is the run in which every edge is kept and every p_s is zero, so that
   both runs are one function, each with a cache of its own.
2. A call takes the new positions of all rows: the whole prompt at first, then one token. Every head's query, key and
   value reads its own sum; keys (turned) and values join the cache, and attention sees all of it.
3. The last position's final residual gives the logits, their argmax the next token, which both runs read.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from memcirc.decoder.attention import (
    Sight,
    attend,
    head_normed,
    head_outputs,
    join_heads,
    split_heads,
    spread,
    turned,
    written,
)
from memcirc.decoder.block import final_normed
from memcirc.decoder.mlp import feed
from memcirc.decoder.norm import normed
from memcirc.decoder.weights import Projection, Weights
from memcirc.decoder.workspace import Workspace
from memcirc.engine.ablation import means_of
from memcirc.engine.values import Means
from memcirc.interventions import Ablation
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from memcirc.twins import beside

Sources = Float[Tensor, "src batch pos d_model"]


@dataclass(eq=False)
class Cache:
    """Keys (turned) and values of the positions run so far, layer by layer, [batch, head, 1, pos, d_head]."""

    keys: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)

    def extended(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer, the new ones at the end."""
        for kept, new in ((self.keys, key), (self.values, value)):
            kept[layer] = torch.cat([kept[layer], new], dim=3) if layer in kept else new
        return self.keys[layer], self.values[layer]


def decode(
    model: Model,
    prompts: Int[Tensor, "batch pos"],
    corrupt: Int[Tensor, "_ _"],
    kept: Bool[Tensor, " n_edges"],
    n_tokens: int,
    ablation: str = "resample",
    reference: Pairs | None = None,
) -> Int[Tensor, "batch step"]:
    """Continue every prompt greedily by exactly ``n_tokens`` with only ``kept`` intact.

    Args:
        corrupt: where the ablation values come from under ``resample``, a row for each prompt.
        reference: pairs that mean ablations average over, their answers included.

    Raises:
        ValueError: prompts and corrupt ones of different shape, more positions than the model reads, a mean ablation
            without a reference or with one that is too short, ablation ``twin`` of a model without one.
    """
    model = beside(model, None, ablation)
    weights = model.weights
    if prompts.shape != corrupt.shape:
        raise ValueError(f"prompts of shape {list(prompts.shape)} and corrupt ones of {list(corrupt.shape)} differ")
    length = prompts.shape[1] + max(n_tokens - 1, 0)
    if length > weights.n_ctx:
        raise ValueError(f"{length} positions are asked for; the model reads at most {weights.n_ctx}")
    with torch.inference_mode(False), torch.no_grad():
        asked = Ablation.parse(ablation)
        means = _means(weights, asked, reference, length)
        other = None
        if asked.has_other_run:
            running = model.twin.weights if asked.other_model and model.twin is not None else weights
            other = _Run(running, weights.graph.to_matrix(torch.ones_like(kept).to(weights.device)))
            corrupt = prompts if asked.other_model else corrupt
        own = _Run(weights, weights.graph.to_matrix(kept.to(weights.device)))
        return _decode(own, other, prompts, corrupt, n_tokens, means).cpu()


def _decode(
    run: "_Run", other: "_Run | None", prompts: Tensor, corrupt: Tensor, n_tokens: int, means: Means | None
) -> Tensor:
    """Continuations under ``run``, whose ablation values are those of ``other`` on the corrupt prompts, else means,
    else nothing."""
    weights = run.weights
    step, other_step = prompts.to(weights.device), corrupt.to(weights.device)
    said = []
    first = 0
    for _ in range(n_tokens):
        position = torch.arange(first, first + step.shape[1], device=weights.device).expand_as(step)
        none = step.new_zeros((), dtype=weights.stream_dtype).expand(
            len(weights.graph.sources), *step.shape, weights.d_model
        )
        if other is not None:
            ablated, _ = other(other_step, position, none)
        else:
            ablated = none if means is None else _dense(weights, means, position)
        _, final = run(step, position, ablated)
        logits = weights.unembed(final_normed(weights, final[:, -1]))
        first += step.shape[1]
        step = other_step = logits.argmax(-1, keepdim=True)
        said.append(step)
    return torch.cat(said, dim=1) if said else prompts[:, :0]


class _Run:
    """One run with its cache; ``own`` bool [dst, src] are the edges that carry the run's own outputs."""

    def __init__(self, weights: Weights, own: Tensor) -> None:
        self.weights, self.own = weights, own.to(weights.stream_dtype)
        self.cache, self.workspace = Cache(), Workspace(weights.device)

    def __call__(self, ids: Tensor, position: Tensor, ablated: Sources) -> tuple[Sources, Tensor]:
        """The new positions' source outputs, and the final residual [batch, pos, d_model]."""
        weights, shape = self.weights, self.weights.graph.shape
        outputs = [weights.embed(ids, position)]
        bias = ablated.new_zeros(weights.d_model)
        total = ablated[0]
        for layer, block in enumerate(weights.blocks):
            rows, before = weights.graph.rows(layer), len(outputs)
            inputs = self._inputs(slice(rows.query.start, rows.value.stop), outputs, ablated, total + bias)
            outputs += list(self._heads(layer, inputs, position))
            after = total + ablated[before : before + shape.n_heads].sum(0)
            if block.mlp is not None:
                base = total + bias if shape.parallel else after + bias + block.attention.bias
                seen = outputs[:before] if shape.parallel else outputs
                (read,) = self._inputs(slice(rows.mlp, rows.mlp + 1), seen, ablated, base)
                x = normed(block.mlp.norm, read[:, None])
                outputs.append(feed(block.mlp, x, self.workspace)[0][:, 0].clone())
                after = after + ablated[len(outputs) - 1]
            bias = bias + block.attention.bias
            total = after
        last = len(weights.graph.destinations) - 1
        (final,) = self._inputs(slice(last, last + 1), outputs, ablated, total + bias)
        return torch.stack(outputs), final

    def _inputs(self, rows: slice, outputs: list[Tensor], ablated: Tensor, base: Tensor) -> Tensor:
        """[dst, batch, pos, d_model]: base plus the kept differences of what was written so far."""
        difference = torch.stack(outputs) - ablated[: len(outputs)]
        return base + torch.einsum("ds,sbpe->dbpe", self.own[rows, : len(outputs)], difference)

    def _heads(self, layer: int, inputs: Tensor, position: Tensor) -> Tensor:
        """[head, batch, pos, d_model]: what a layer's heads write."""
        weights, attention = self.weights, self.weights.blocks[layer].attention
        x = normed(attention.norm, inputs).to(weights.dtype)
        queries, keys, values = x.split([weights.n_heads, weights.n_kv_heads, weights.n_kv_heads])
        query, key = _projected(attention.query, queries), _projected(attention.key, keys)
        query = head_normed(attention.query_norm, attention.joint, query)
        key = head_normed(attention.key_norm, attention.joint, key)
        rotation = None if attention.rotary is None else weights.rotaries[attention.rotary].at(position)
        all_keys, all_values = self.cache.extended(layer, turned(rotation, key), _projected(attention.value, values))
        at = torch.arange(all_keys.shape[3], device=weights.device)
        visible = at <= position[:, :, None]
        if attention.window is not None:
            visible = visible & (at > position[:, :, None] - attention.window)
        bias = None if weights.alibi is None else weights.alibi.at(at.expand(len(position), -1))
        z, _ = attend(attention, turned(rotation, query), all_keys, all_values, None, Sight(visible, bias))
        own = split_heads(written(attention, join_heads(z))[0], weights.d_head)
        writes = torch.einsum("bhpf,hfe->hbpe", own[:, :, 0], head_outputs(weights, layer).to(own.dtype))
        return writes.to(weights.stream_dtype)


def _projected(projection: Projection, x: Tensor) -> Float[Tensor, "batch head 1 pos d_head"]:
    """What each head's own input [head, batch, pos, d_model] gives."""
    matrices = spread(projection.weight[None], len(x))[0]
    flat = torch.einsum("hbpe,hde->bhpd", x, matrices)
    if projection.bias is not None:
        flat = flat + spread(projection.bias[None], len(x))[0][:, None]
    return flat[:, :, None]


def _means(weights: Weights, ablation: Ablation, reference: Pairs | None, length: int) -> Means | None:
    if not ablation.means_of:
        return None
    if reference is None:
        raise ValueError(f"ablation {ablation.name!r} averages over reference pairs; none were given")
    found = means_of(weights, reference, ablation, True, Workspace(weights.device))
    if not found.constant and len(found.embed) < length:
        raise ValueError(
            f"the reference reaches {len(found.embed)} positions, generation {length}; give longer pairs or mean-all"
        )
    return found


def _dense(weights: Weights, means: Means, position: Tensor) -> Sources:
    """A reference's means at the given positions, source by source."""
    where = torch.zeros_like(position) if means.constant else position
    sources = [means.embed[where]]
    for layer in range(len(weights.blocks)):
        z = means.z[layer][where].unflatten(-1, (weights.n_heads, weights.d_head)).to(weights.dtype)
        sources += list(
            torch.einsum("bphf,hfe->hbpe", z, head_outputs(weights, layer).to(z.dtype)).to(weights.stream_dtype)
        )
        if weights.graph.shape.has_mlp:
            sources.append(means.mlp[layer][where])
    return torch.stack(sources)
