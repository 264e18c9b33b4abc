"""A forward pass over plain weights in which every place can be read and written.

Tokens lie flat, [token, d_model], so that rows of different lengths share every matrix product without padding. A
:class:`Segment` is a group of rows that run the same positions; attention is computed segment by segment, over the
keys and values of a prefix that the rows do not run themselves, followed by their own. At each place the value passes
through a :class:`Taps`, which may keep it or return another.

In the last block only some tokens may be asked for (``read``): keys and values are computed everywhere, the rest at
those tokens alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.engine.activations import ACTIVATIONS
from memcirc.engine.layers import normed, per_query_head
from memcirc.engine.rotary import Rotation
from memcirc.engine.weights import Block, Weights

Past = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Segment:
    """``rows`` sequences that run positions ``start`` to ``stop`` - 1; ``owner`` says whose prefix each one has.
    ``read`` are each row's positions that are asked for in the last block."""

    rows: int
    start: int
    stop: int
    owner: Int[Tensor, " row"]
    read: Int[Tensor, "row step"]

    @property
    def width(self) -> int:
        return self.stop - self.start

    @property
    def tokens(self) -> int:
        return self.rows * self.width


class Taps:
    """What happens at each place of a pass; this one lets everything through.

    ``at`` sees flat activations: [token, d] of the stream or the MLP, [token, head, d_head] of heads. ``pattern`` sees
    a segment's attention, [row, head, query, key].
    """

    def at(self, kind: str, layer: int, value: Tensor) -> Tensor:
        return value

    def pattern(self, kind: str, layer: int, segment: int, value: Tensor) -> Tensor:
        return value


class Recorder(Taps):
    """Keeps what it is asked for, as [row, pos, ...]; all rows must run the same positions."""

    def __init__(self, kinds: Sequence[str], rows: int) -> None:
        self.kinds, self.rows = frozenset(kinds), rows
        self.found: dict[tuple[str, int], Tensor] = {}

    def at(self, kind: str, layer: int, value: Tensor) -> Tensor:
        if kind in self.kinds:
            self.found[kind, layer] = value.view(self.rows, -1, *value.shape[1:])
        return value

    def pattern(self, kind: str, layer: int, segment: int, value: Tensor) -> Tensor:
        if kind in self.kinds:
            assert segment == 0, "a recorder sees one segment"
            self.found[kind, layer] = value
        return value


def positions_of(segments: Sequence[Segment], device: torch.device) -> Int[Tensor, " token"]:
    """The position of every token in its sequence."""
    return torch.cat([torch.arange(s.start, s.stop, device=device).repeat(s.rows) for s in segments])


def read_tokens(segments: Sequence[Segment]) -> Int[Tensor, " token"]:
    """Flat indices of the tokens that the last block is asked for: row by row, step by step."""
    found, before = [], 0
    for s in segments:
        first = before + torch.arange(s.rows, device=s.read.device)[:, None] * s.width
        found.append((first + s.read - s.start).flatten())
        before += s.tokens
    return torch.cat(found)


def run_block(
    weights: Weights,
    layer: int,
    x: Float[Tensor, "token d_model"],
    segments: Sequence[Segment],
    past: Past | None,
    taps: Taps,
    read: Int[Tensor, " asked"] | None = None,
) -> tuple[Tensor, Past]:
    """One block.

    Args:
        past: keys (turned) and values of the prefixes, each [owner, pos, kv_head, d_head].
        read: flat indices of the tokens that are asked for; default: all.

    Returns:
        The residual stream after the block, [token or asked, d_model], and the tokens' own keys (turned) and values.
    """
    block, d_head = weights.blocks[layer], weights.d_head
    n_query, n_key = weights.n_heads * d_head, weights.n_kv_heads * d_head
    x = taps.at("resid_pre", layer, x)
    hat, _ = normed(weights, x)
    if read is None:
        q, k, v = block.qkv(hat).split([n_query, n_key, n_key], dim=-1)
    else:
        q = block.qkv.columns(0, n_query)(hat[read])
        k, v = block.qkv.columns(n_query, n_query + 2 * n_key)(hat).split([n_key, n_key], dim=-1)
    q = taps.at("q", layer, q.unflatten(-1, (-1, d_head)))
    k = taps.at("k", layer, k.unflatten(-1, (-1, d_head)))
    v = taps.at("v", layer, v.unflatten(-1, (-1, d_head)))
    if weights.rotary is not None:
        position = positions_of(segments, x.device)
        rotation = weights.rotary.at(position[:, None])
        q = taps.at("rot_q", layer, _turned(rotation, q, read))
        k = taps.at("rot_k", layer, _turned(rotation, k, None))
    z = taps.at("z", layer, _attention(weights, layer, (q, k, v), segments, past, taps, read is not None))
    out = taps.at("attn_out", layer, block.out(z.flatten(1)).to(x.dtype))
    x = x if read is None else x[read]
    shape = weights.graph.shape
    if not shape.has_mlp:
        return taps.at("resid_post", layer, x + out), (k, v)
    if shape.parallel:
        return taps.at("resid_post", layer, x + out + _mlp(weights, block, layer, x, taps)), (k, v)
    x = taps.at("resid_mid", layer, x + out)
    return taps.at("resid_post", layer, x + _mlp(weights, block, layer, x, taps)), (k, v)


def _turned(rotation: Rotation, x: Tensor, read: Tensor | None) -> Tensor:
    if read is not None:
        rotation = Rotation(rotation.cos[read], rotation.sin[read], rotation.adjacent)
    return rotation(x[:, :, None, None])[:, :, 0, 0]


def _mlp(weights: Weights, block: Block, layer: int, x: Tensor, taps: Taps) -> Tensor:
    assert block.up is not None
    assert block.down is not None
    assert weights.activation is not None
    activation = ACTIVATIONS[weights.activation]
    hidden = block.up(normed(weights, x)[0])
    if weights.gated:
        gate, linear = hidden.chunk(2, dim=-1)
        gate, linear = taps.at("mlp_pre", layer, gate), taps.at("mlp_pre_linear", layer, linear)
        activated = activation.value(gate) * linear
    else:
        activated = activation.value(taps.at("mlp_pre", layer, hidden))
    return taps.at("mlp_out", layer, block.down(taps.at("mlp_post", layer, activated)).to(x.dtype))


def _attention(
    weights: Weights,
    layer: int,
    projected: tuple[Tensor, Tensor, Tensor],
    segments: Sequence[Segment],
    past: Past | None,
    taps: Taps,
    trimmed: bool,
) -> Float[Tensor, "token head d_head"]:
    """Outputs z of all heads, flat; the queries of a trimmed block are those at the segments' ``read``."""
    q, k, v = projected
    outputs, first, first_query = [], 0, 0
    for i, s in enumerate(segments):
        steps = s.read.shape[1] if trimmed else s.width
        query = q[first_query : first_query + s.rows * steps].unflatten(0, (s.rows, steps)).transpose(1, 2)
        key, value = (
            per_query_head(_with_prefix(own[first : first + s.tokens], s, past, which), weights.n_heads)
            for which, own in enumerate((k, v))
        )
        scores = (query @ key.transpose(-1, -2)).to(weights.stream_dtype) * weights.scale
        scores = scores.masked_fill(~_visible(weights, layer, s, trimmed), -torch.inf)
        scores = taps.pattern("attn_scores", layer, i, scores)
        pattern = taps.pattern("pattern", layer, i, scores.softmax(-1)).to(value.dtype)
        outputs.append((pattern @ value).transpose(1, 2).flatten(0, 1))
        first += s.tokens
        first_query += s.rows * steps
    return torch.cat(outputs)


def _with_prefix(own: Tensor, s: Segment, past: Past | None, which: int) -> Float[Tensor, "row kv_head pos d_head"]:
    own = own.unflatten(0, (s.rows, s.width))
    if s.start:
        assert past is not None
        before = past[which]
        prefix = before[:1, : s.start].expand(s.rows, -1, -1, -1) if len(before) == 1 else before[s.owner, : s.start]
        own = torch.cat([prefix, own], dim=1)
    return own.transpose(1, 2)


def _visible(weights: Weights, layer: int, s: Segment, trimmed: bool) -> Tensor:
    """bool [row or 1, 1, query, key]: what each query sees."""
    key = torch.arange(s.stop, device=s.owner.device)
    query = s.read if trimmed else torch.arange(s.start, s.stop, device=s.owner.device)[None]
    distance = query[:, :, None] - key
    seen = distance >= 0 if weights.causal else torch.ones_like(distance, dtype=torch.bool)
    window = weights.blocks[layer].window
    return (seen if window is None else seen & (distance < window))[:, None]
