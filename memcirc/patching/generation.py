"""Patched free generation: the base model writes on, and at every step some places hold the source model's values.

Both models run in lockstep over the same tokens, each with its own keys and values: a step costs one token. Keys are
kept as they were written (turned, and patched), so that a patch at any place equals recomputing the whole sequence with
the patch at all its positions.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from memcirc.decoder.weights import Weights
from memcirc.patching.forward import Past, Recorder, Segment, Taps, run_block
from memcirc.patching.runs import logits_of
from memcirc.patching.sites import Site
from memcirc.patching.writes import canonical

EMBED = ("embed", 0)


class _Mirror(Taps):
    """Writes what another run recorded, everywhere at the given places."""

    def __init__(self, places: Collection[tuple[str, int]], recorded: Recorder) -> None:
        self.places, self.recorded = frozenset(places), recorded

    def at(self, kind: str, layer: int, value: Tensor) -> Tensor:
        if (kind, layer) not in self.places:
            return value
        return self.recorded.found[kind, layer].reshape(value.shape).to(value.dtype)

    def pattern(self, kind: str, layer: int, segment: int, value: Tensor) -> Tensor:
        return self.recorded.found[kind, layer] if (kind, layer) in self.places else value


class Decoder:
    """A model that has read some tokens and keeps their keys and values."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.past: list[Past] = []
        self.length = 0

    def read(self, x: Tensor, taps: Taps) -> Tensor:
        """Read embeddings [batch, new, d_model]; returns the last residual of all new positions."""
        batch, new = x.shape[:2]
        rows = torch.arange(batch, device=x.device)
        stop = self.length + new
        segment = Segment(batch, self.length, stop, rows, torch.full((batch, 1), stop - 1, device=x.device))
        flat = x.flatten(0, 1)
        for layer in range(len(self.weights.blocks)):
            before = self.past[layer] if self.length else None
            flat, own = run_block(self.weights, layer, flat, [segment], before, taps)
            shaped = [t.unflatten(0, (batch, new)) for t in own]
            if before is None:
                self.past.append((shaped[0], shaped[1]))
            else:
                self.past[layer] = (torch.cat([before[0], shaped[0]], 1), torch.cat([before[1], shaped[1]], 1))
        self.length = stop
        return flat.unflatten(0, (batch, new))

    def embed(self, ids: Int[Tensor, "batch new"]) -> Tensor:
        """Token and positional embeddings of tokens that come next."""
        position = torch.arange(self.length, self.length + ids.shape[1], device=ids.device).expand_as(ids)
        return self.weights.embed(ids, position)


@dataclass(frozen=True, eq=False)
class Mirrored:
    """Whose values are written at which sites while another model generates.

    ``sites`` are whole ones (no positions or heads); ``ids`` what the source model reads in place of the prompts (as
    many tokens), before it reads what the other writes; ``prompt_only``: the prompt's positions alone are written.
    """

    source: Weights
    sites: Sequence[Site]
    ids: Int[Tensor, "batch pos"] | None = None
    prompt_only: bool = False


def patched_generation(
    base: Weights, ids: Int[Tensor, "batch pos"], n_tokens: int, mirrored: Mirrored
) -> Int[Tensor, "batch new"]:
    """Greedy continuation by the base model; without sites its own.

    Args:
        ids: prompts of one length.

    Raises:
        ValueError: the prompts of both models differ in length.
    """
    source, sites = mirrored.source, mirrored.sites
    source_ids = ids if mirrored.ids is None else mirrored.ids
    if source_ids.shape != ids.shape:
        raise ValueError(
            f"the source reads {source_ids.shape[1]} tokens and the base {ids.shape[1]}; both need as many"
        )
    assert all(where.positions is None and where.heads is None for where in sites)
    places = {canonical(where, len(base.blocks)) for where in sites}
    writer, reader = Decoder(base), Decoder(source)
    written: list[Tensor] = []
    new, heard = ids, source_ids
    for step in range(n_tokens):
        if step and mirrored.prompt_only:
            places = set()
        recorder = Recorder([kind for kind, _ in places], len(ids))
        if places:
            reader.read(reader.embed(heard), recorder)
        x = writer.embed(new)
        if EMBED in places:
            x = x + (source.embedding[heard] - base.embedding[new]).to(x.dtype)
        if ("pos_embed", 0) in places and base.positions is not None and source.positions is not None:
            position = torch.arange(writer.length, writer.length + new.shape[1], device=ids.device)
            x = x + (source.positions[position] - base.positions[position]).to(x.dtype)
        final = writer.read(x, _Mirror(places - {EMBED, ("pos_embed", 0)}, recorder))
        new = heard = logits_of(base, final[:, -1:]).argmax(-1)
        written.append(new)
    return torch.cat(written, dim=1)
