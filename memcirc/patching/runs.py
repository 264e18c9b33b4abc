"""Whole runs over prompts, in one batch; every place recorded on request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.decoder.block import final_normed
from memcirc.decoder.weights import Weights
from memcirc.patching.forward import Recorder, Segment, Taps, run_block
from memcirc.patching.prompts import Prompts

Activations = Mapping[tuple[str, int], Tensor]
"""What stood at each place, by kind and layer: [batch, pos, ...] or [batch, head, destination, source]."""


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """What a run had at each recorded place, and the last residual at the positions read."""

    found: Activations
    final: Float[Tensor, "batch step d_model"]


@dataclass(frozen=True, eq=False)
class RunPair:
    """The run that is written into (base) and the one whose values are written (source), of the same positions.

    ``weights`` and ``prompts`` are the base run's; ``shared`` are the leading positions at which both runs are known to
    be the same (prompts share their tokens and the model is one), 0 where nothing is known.
    """

    weights: Weights
    prompts: Prompts
    base: RecordedRun
    source: RecordedRun
    shared: Int[Tensor, " batch"]


def attended(weights: Weights) -> tuple[str, str]:
    """The kinds of the queries and keys that attention multiplies, and that a prefix keeps: turned, where positions
    turn them."""
    return ("rot_q", "rot_k") if weights.rotaries else ("q", "k")


def embedded(weights: Weights, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
    """Token and positional embeddings."""
    position = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    return weights.embed(ids, position)


def run(
    weights: Weights, prompts: Prompts, kinds: Sequence[str] = (), embeds: Tensor | None = None, trim: bool = True
) -> RecordedRun:
    """Run whole prompts.

    Args:
        kinds: places to record, in all layers: those of ``memcirc.patching.forward.run_block``, ``embed``,
            ``pos_embed``.
        embeds: float [batch, pos, d_model], fed in place of the tokens' embeddings.
        trim: compute the last block only where it is read (not when something is recorded).
    """
    recorder = Recorder(kinds, len(prompts))
    x = embedded(weights, prompts.ids) if embeds is None else embeds
    found = recorder.found
    if "embed" in kinds:
        found["embed", 0] = weights.token_embedding(prompts.ids)
    if "pos_embed" in kinds and weights.positions is not None:
        position = torch.arange(x.shape[1], device=x.device)
        found["pos_embed", 0] = weights.positions[position].to(weights.stream_dtype).expand(len(prompts), -1, -1)
    final = run_embeds(weights, x, prompts.read, recorder, trim and not kinds)
    return RecordedRun(found, final)


def run_embeds(
    weights: Weights, x: Float[Tensor, "batch pos d_model"], read: Int[Tensor, "batch step"], taps: Taps, trim: bool
) -> Float[Tensor, "batch step d_model"]:
    """The last residual at ``read`` of a run from given embeddings."""
    batch, length = x.shape[:2]
    owner = torch.arange(batch, device=x.device)
    segment, last = Segment(batch, 0, length, owner, read), len(weights.blocks) - 1
    asked = (owner[:, None] * length + read).flatten()
    flat = x.flatten(0, 1)
    for layer in range(len(weights.blocks)):
        flat, _ = run_block(weights, layer, flat, [segment], None, taps, asked if trim and layer == last else None)
    if not (trim and weights.blocks):
        flat = flat[asked]
    return flat.unflatten(0, (batch, -1))


def logits_of(weights: Weights, final: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_vocab"]:
    """Logits of all tokens from the last residual, in the stream's precision."""
    return weights.read_out(weights.unembed(final_normed(weights, final)))
