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

from memcirc.decoder.activations import ACTIVATIONS
from memcirc.decoder.attention import final_scores, head_normed, project, spread, written
from memcirc.decoder.block import Steps
from memcirc.decoder.block import run_block as run_wired
from memcirc.decoder.norm import normed
from memcirc.decoder.positions import Rotation
from memcirc.decoder.weights import Weights

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
    run = _BlockRun(weights, segments, past, taps, read)
    out = run_wired(
        weights, layer, taps.at("resid_pre", layer, x), Steps(run.attention, run.mlp, run.trim, run.between)
    )
    assert run.own is not None
    return taps.at("resid_post", layer, out), run.own


@dataclass(eq=False)
class _BlockRun:
    """The branches of one block, with their taps; ``own`` are the tokens' keys (turned) and values, once known."""

    weights: Weights
    segments: Sequence[Segment]
    past: Past | None
    taps: Taps
    read: Int[Tensor, " asked"] | None
    own: Past | None = None

    def attention(self, layer: int, x: Tensor) -> Tensor:
        part, taps, weights = self.weights.blocks[layer].attention, self.taps, self.weights
        given = normed(part.norm, x)[None, None]
        q, k, v = project(part, given, given if self.read is None else given[:, :, self.read])
        q = taps.at("q", layer, _flat(q))
        k, v = (taps.at(kind, layer, _flat(spread(own, weights.n_kv_heads))) for kind, own in (("k", k), ("v", v)))
        q, k = (
            _flat(head_normed(norm, part.joint, _stacked(each)))
            for norm, each in ((part.query_norm, q), (part.key_norm, k))
        )
        if part.rotary is not None:
            rotation = weights.rotaries[part.rotary].at(positions_of(self.segments, x.device)[None])
            q, k = _flat(_at(rotation, self.read)(_stacked(q))), _flat(rotation(_stacked(k)))
        if weights.rotaries:
            q, k = taps.at("rot_q", layer, q), taps.at("rot_k", layer, k)
        self.own = k, v
        z = taps.at("z", layer, self._attended(layer, q))
        return taps.at("attn_out", layer, written(part, z.flatten(1))[1].to(x.dtype))

    def trim(self, layer: int, x: Tensor) -> Tensor:
        return x if self.read is None else x[self.read]

    def between(self, layer: int, x: Tensor) -> Tensor:
        return self.taps.at("resid_mid", layer, x)

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        part, taps = self.weights.blocks[layer].mlp, self.taps
        assert part is not None
        activation, given = ACTIVATIONS[part.activation], normed(part.norm, x)
        if part.gate is None:
            activated = activation.value(taps.at("mlp_pre", layer, part.up(given)))
        else:
            gate = taps.at("mlp_pre", layer, part.gate(given))
            linear = taps.at("mlp_pre_linear", layer, part.up(given))
            activated = activation.value(gate) * linear
        out = part.down(taps.at("mlp_post", layer, activated)).to(x.dtype)
        return taps.at("mlp_out", layer, normed(part.post, out) * part.multiplier)

    def _attended(self, layer: int, q: Tensor) -> Float[Tensor, "token head d_head"]:
        """Outputs z of all heads, flat; the queries of a trimmed block are those at the segments' ``read``."""
        assert self.own is not None
        weights, trimmed, attention = self.weights, self.read is not None, self.weights.blocks[layer].attention
        outputs, first, first_query = [], 0, 0
        for i, s in enumerate(self.segments):
            steps = s.read.shape[1] if trimmed else s.width
            query = q[first_query : first_query + s.rows * steps].unflatten(0, (s.rows, steps)).transpose(1, 2)
            key, value = (
                spread(_with_prefix(own[first : first + s.tokens], s, self.past, which), weights.n_heads)
                for which, own in enumerate(self.own)
            )
            bias = None
            if weights.alibi is not None:
                bias = weights.alibi.at(torch.arange(s.stop, device=q.device)[None])[:, :, None]
            scores = final_scores(attention, query @ key.transpose(-1, -2), bias, _visible(weights, layer, s, trimmed))
            scores = self.taps.pattern("attn_scores", layer, i, scores)
            pattern = self.taps.pattern("pattern", layer, i, scores.softmax(-1)).to(value.dtype)
            outputs.append((pattern @ value).transpose(1, 2).flatten(0, 1))
            first += s.tokens
            first_query += s.rows * steps
        return torch.cat(outputs)


def _flat(x: Float[Tensor, "1 head 1 token d_head"]) -> Float[Tensor, "token head d_head"]:
    return x[0, :, 0].transpose(0, 1)


def _stacked(x: Float[Tensor, "token head d_head"]) -> Float[Tensor, "1 head 1 token d_head"]:
    return x.transpose(0, 1)[None, :, None]


def _at(rotation: Rotation, read: Tensor | None) -> Rotation:
    """The turn of the tokens that are asked for."""
    return rotation if read is None else Rotation(rotation.cos[:, read], rotation.sin[:, read], rotation.adjacent)


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
    window = weights.blocks[layer].attention.window
    return (seen if window is None else seen & (distance < window))[:, None]
