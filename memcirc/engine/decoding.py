"""Greedy generation under a circuit, with keys and values kept from token to token.

A circuit C runs in tree mode on the clean prompt: x_d = P_d + sum over kept (c_s - p_s). At every generated position
the ablation values p_s come from the corrupt prompt followed by the same generated tokens (``resample``), from the
twin on the same tokens (``twin``), from the means of a reference at that position, or are zero. Ablating C alone is
keeping its complement.

1. The other prompt's, or the twin's, plain run is the run in which every edge is kept, so that both runs are one
   function, each with a cache of its own.
2. A call takes the new positions of all rows: the whole prompt at first, then one token. Every head's query, key and
   value reads its own sum, where one of a layer's keeps an edge; keys (turned) and values join the cache, and attention
   sees all of it.
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
    project,
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
            other = _Run(running, None)
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
        if other is not None:
            ablated: Sources | None = other(other_step, position)[0]
        else:
            ablated = None if means is None else _dense(weights, means, position)
        _, final = run(step, position, ablated)
        logits = weights.unembed(final_normed(weights, final[:, -1]))
        first += step.shape[1]
        step = other_step = logits.argmax(-1, keepdim=True)
        said.append(step)
    return torch.cat(said, dim=1) if said else prompts[:, :0]


class _Stream:
    """What the sources have written at the positions of one call, and what a destination reads of it.

    Attributes:
        written: in a plain run (``kept`` None) each source's output, in another one by how much that differs from its
            ablation value (None: zero).
        total: the sum of the outputs, or of the ablation values, so far.
    """

    def __init__(self, weights: Weights, kept: Tensor | None, ablated: Sources | None, ids: Tensor) -> None:
        shape, dtype = (*ids.shape, weights.d_model), weights.stream_dtype
        self.kept, self.ablated, self.n = kept, ablated, 0
        self.written = torch.empty(len(weights.graph.sources), *shape, dtype=dtype, device=weights.device)
        self.total = torch.zeros(shape, dtype=dtype, device=weights.device)

    def add(self, outputs: Sources) -> None:
        """The next sources in the order of writing."""
        rows = slice(self.n, self.n + len(outputs))
        self.n = rows.stop
        if self.kept is None:
            self.written[rows] = outputs
            self.total = self.total + outputs.sum(0)
        elif self.ablated is None:
            self.written[rows] = outputs
        else:
            torch.sub(outputs, self.ablated[rows], out=self.written[rows])
            self.total = self.total + self.ablated[rows].sum(0)

    def kept_of(self, rows: slice, n: int) -> Sources | None:
        """[dst, batch, pos, d_model]: the kept differences that some destinations read of the first n sources; None
        where they keep none."""
        if self.kept is None:
            return None
        edges = self.kept[rows, :n]
        used = edges.any(0).nonzero()[:, 0]
        if not len(used):
            return None
        mixed = edges[:, used] @ self.written[used].flatten(1)
        return mixed.view(len(edges), *self.written.shape[1:])


class _Run:
    """One run with its cache; ``kept`` bool [dst, src] are the edges that carry the run's own outputs, None: all of
    them, as in a plain run."""

    def __init__(self, weights: Weights, kept: Tensor | None) -> None:
        self.weights = weights
        self.kept = None if kept is None else kept.to(weights.stream_dtype)
        self.cache, self.workspace = Cache(), Workspace(weights.device)

    def __call__(self, ids: Tensor, position: Tensor, ablated: Sources | None = None) -> tuple[Sources, Tensor]:
        """What the sources wrote at the new positions (:class:`_Stream`), and the final residual [batch, pos,
        d_model]."""
        weights, shape = self.weights, self.weights.graph.shape
        stream = _Stream(weights, self.kept, ablated, ids)
        stream.add(weights.embed(ids, position)[None])
        bias = stream.total.new_zeros(weights.d_model)
        for layer, block in enumerate(weights.blocks):
            rows, before, base = weights.graph.rows(layer), stream.n, stream.total + bias
            stream.add(
                self._heads(layer, base, stream.kept_of(slice(rows.query.start, rows.value.stop), before), position)
            )
            bias = bias + block.attention.bias
            if block.mlp is not None:
                if not shape.parallel:
                    before, base = stream.n, stream.total + bias
                read = _sum(base, stream.kept_of(slice(rows.mlp, rows.mlp + 1), before))
                x = normed(block.mlp.norm, read[:, None])
                stream.add(feed(block.mlp, x, self.workspace)[0][:, 0][None])
        last = len(weights.graph.destinations) - 1
        final = _sum(stream.total + bias, stream.kept_of(slice(last, last + 1), stream.n))
        return stream.written, final

    def _heads(self, layer: int, base: Tensor, kept: Sources | None, position: Tensor) -> Tensor:
        """[head, batch, pos, d_model]: what a layer's heads write, which read ``base``, or each with its own kept
        differences."""
        weights, attention = self.weights, self.weights.blocks[layer].attention
        if kept is None:
            x = normed(attention.norm, base).to(weights.dtype)[:, None]
            query, key, value = project(attention, x, x)
        else:
            x = normed(attention.norm, base + kept).to(weights.dtype)
            inputs = x.split([weights.n_heads, weights.n_kv_heads, weights.n_kv_heads])
            query, key, value = map(_projected, (attention.query, attention.key, attention.value), inputs)
        query = head_normed(attention.query_norm, attention.joint, query)
        key = head_normed(attention.key_norm, attention.joint, key)
        rotation = None if attention.rotary is None else weights.rotaries[attention.rotary].at(position)
        all_keys, all_values = self.cache.extended(layer, turned(rotation, key), value)
        at = torch.arange(all_keys.shape[3], device=weights.device)
        visible = at <= position[:, :, None]
        if attention.window is not None:
            visible = visible & (at > position[:, :, None] - attention.window)
        bias = None if weights.alibi is None else weights.alibi.at(at.expand(len(position), -1))
        z, _ = attend(attention, turned(rotation, query), all_keys, all_values, None, Sight(visible, bias))
        own = split_heads(written(attention, join_heads(z))[0], weights.d_head)
        writes = torch.einsum("bhpf,hfe->hbpe", own[:, :, 0], head_outputs(weights, layer).to(own.dtype))
        return writes.to(weights.stream_dtype)


def _sum(base: Tensor, kept: Sources | None) -> Tensor:
    """What one destination reads [batch, pos, d_model]."""
    return base if kept is None else base + kept[0]


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
