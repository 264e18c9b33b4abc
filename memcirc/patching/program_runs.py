"""Programs run through, and run again with patches at their steps.

What follows a patch must be said:

- ``propagate``: later latent inputs are recomputed from the patched hidden states;
- ``freeze_latents``: later latent inputs keep the base run's values.

Rows (a patch on an example) that begin at the same position run together, from the base run's keys and values on, a
position at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.decoder.block import final_normed
from memcirc.decoder.weights import Weights
from memcirc.patching.forward import Taps
from memcirc.patching.generation import Decoder
from memcirc.patching.patches import Patch
from memcirc.patching.programs import Latent, Program, Tokens
from memcirc.patching.prompts import Prompts
from memcirc.patching.runs import Activations, attended, logits_of, run
from memcirc.patching.sites import HEADS, PATTERN, Site
from memcirc.patching.writes import canonical, combined

POLICIES = ("propagate", "freeze_latents")
ROWS_AT_ONCE = 8192


@dataclass(frozen=True, eq=False)
class ProgramRun:
    """A program that a model has run through: input embeddings (positions included), last residual and what was
    recorded before generation, keys and values among it; and what was generated with the logits of its first token."""

    weights: Weights
    program: Program
    embeds: Float[Tensor, "batch pos d_model"]
    final: Float[Tensor, "batch pos d_model"]
    found: Activations
    generated: Int[Tensor, "batch new"]
    logits: Float[Tensor, "batch d_vocab"]


def run_program(weights: Weights, program: Program, kinds: Sequence[str] = ()) -> ProgramRun:
    """Run a program; ``kinds`` and what patched rows need of it (keys and values) are recorded."""
    decoder, taps = Decoder(weights), Taps()
    embeds: list[Tensor] = []
    finals: list[Tensor] = []
    for segment in program.segments[:-1]:
        if isinstance(segment, Tokens):
            embeds.append(decoder.embed(segment.ids))
            finals.append(decoder.read(embeds[-1], taps))
        else:
            assert isinstance(segment, Latent)
            for _ in range(segment.steps):
                fed = segment.feed(final_normed(weights, finals[-1][:, -1]))
                embeds.append(_placed(weights, fed, decoder.length)[:, None])
                finals.append(decoder.read(embeds[-1], taps))
    final = torch.cat(finals, dim=1)
    generated, logits = _generated(weights, decoder, final[:, -1], program.generated)
    x = torch.cat(embeds, dim=1)
    lengths = torch.full((program.batch,), x.shape[1], device=x.device)
    prompts = Prompts(torch.zeros(x.shape[:2], dtype=torch.int64, device=x.device), lengths, lengths[:, None] - 1)
    found = run(weights, prompts, sorted({*kinds, attended(weights)[1], "v", "resid_pre"}), embeds=x).found
    return ProgramRun(weights, program, x, final, found, generated, logits)


def _placed(weights: Weights, fed: Tensor, position: int) -> Tensor:
    """A fed vector with its positional embedding."""
    return fed if weights.positions is None else fed + weights.positions[position].to(fed)


def _generated(weights: Weights, decoder: Decoder, final: Tensor, n: int) -> tuple[Tensor, Tensor]:
    first = logits_of(weights, final)
    tokens = [first.argmax(-1)]
    while len(tokens) < n:
        final = decoder.read(decoder.embed(tokens[-1][:, None]), Taps())[:, -1]
        tokens.append(logits_of(weights, final).argmax(-1))
    return torch.stack(tokens, dim=1), first


@dataclass(frozen=True, eq=False)
class PatchedRuns:
    """Of every patch on every example, what was generated and the logits of its first token."""

    generated: Int[Tensor, "patch batch new"]
    logits: Float[Tensor, "patch batch d_vocab"]


def run_patched(base: ProgramRun, source: ProgramRun, patches: Sequence[Patch], policy: str) -> PatchedRuns:
    """Run the base program once a patch.

    Args:
        base, source: runs of the same program on both prompts; ``source`` with the patches' kinds recorded.
        patches: with positions in every site (see :func:`memcirc.patching.programs.at_step`), before generation.
        policy: ``propagate`` or ``freeze_latents``.

    Raises:
        ValueError: an unknown policy; a site without positions, beyond the program, or not of the fast engine.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy {policy!r} is not known; accepted: {', '.join(POLICIES)}")
    program = base.program
    firsts = [_first_position(patch, program, len(base.weights.blocks)) for patch in patches]
    shape = (len(patches), program.batch)
    generated = torch.zeros(*shape, program.generated, dtype=torch.int64, device=base.embeds.device)
    logits = torch.zeros(*shape, base.logits.shape[-1], dtype=base.logits.dtype, device=base.embeds.device)
    per_chunk = max(1, ROWS_AT_ONCE // program.batch)
    for first in sorted(set(firsts)):
        members = [i for i, position in enumerate(firsts) if position == first]
        for i in range(0, len(members), per_chunk):
            chunk = members[i : i + per_chunk]
            rows = _Rows(base, source, [patches[j] for j in chunk], first)
            tokens, scores = rows.run(policy == "propagate")
            generated[chunk] = tokens.unflatten(0, (len(chunk), -1))
            logits[chunk] = scores.unflatten(0, (len(chunk), -1))
    return PatchedRuns(generated, logits)


def _first_position(patch: Patch, program: Program, n_layers: int) -> int:
    for where in patch.sites:
        if where.positions is None:
            raise ValueError(f"{where.hook}: in a program a site names its steps; see at_step")
        if not where.about.fast or where.about.before_blocks:
            raise ValueError(f"{where.kind!r} cannot be patched in a program; fed vectors are 'latent_in'")
        if where.layer is not None and not 0 <= where.layer < n_layers:
            raise ValueError(f"layer {where.layer} is out of range; this model has layers 0 to {n_layers - 1}")
        if max(where.positions) >= program.given:
            raise ValueError(f"position {max(where.positions)} is generated; patches end at {program.given - 1}")
    return min(position for where in patch.sites for position in where.positions or ())


class _Rows(Taps):
    """Rows of several patches that begin at one position: patch by patch, example by example."""

    def __init__(self, base: ProgramRun, source: ProgramRun, patches: Sequence[Patch], first: int) -> None:
        weights = base.weights
        self.weights, self.program, self.base, self.source = weights, base.program, base, source
        self.first, self.position = first, first
        self.batch = base.program.batch
        self.owner = torch.arange(self.batch, device=base.embeds.device).repeat(len(patches))
        self.writes: dict[tuple[str, int, int], list[tuple[slice, Patch, Site]]] = {}
        for i, patch in enumerate(patches):
            for where in patch.sites:
                rows = slice(i * self.batch, (i + 1) * self.batch)
                for position in where.positions or ():
                    key = (*canonical(where, len(weights.blocks)), position)
                    self.writes.setdefault(key, []).append((rows, patch, where))
        self.decoder = Decoder(weights)
        keys = attended(weights)[1]
        self.decoder.length = first
        if first:
            self.decoder.past = [
                (base.found[keys, layer][self.owner, :first], base.found["v", layer][self.owner, :first])
                for layer in range(len(weights.blocks))
            ]

    def run(self, propagate: bool) -> tuple[Tensor, Tensor]:
        final = self.base.final[self.owner, self.first - 1] if self.first else None
        for position, given in self.program.inputs():
            if position < self.first:
                continue
            self.position = position
            x = self.base.embeds[self.owner, position]
            if propagate and position > self.first and callable(given):
                assert final is not None
                x = _placed(self.weights, given(final_normed(self.weights, final)), position)
            final = self.decoder.read(x[:, None], self)[:, -1]
        assert final is not None
        return _generated(self.weights, self.decoder, final, self.program.generated)

    def _source(self, kind: str, layer: int, patch: Patch) -> Tensor:
        value = self.source.found[kind, layer]
        return value.mean(0, keepdim=True).expand_as(value) if patch.operation == "mean" else value

    def at(self, kind: str, layer: int, value: Tensor) -> Tensor:
        writes = self.writes.get((kind, layer, self.position), ())
        value = value.clone() if writes else value
        for rows, patch, where in writes:
            source = self._source(kind, layer, patch)[:, self.position]
            if where.shape == HEADS and where.heads is not None:
                heads = list(where.heads)
                old = value[rows][:, heads]
                value[rows, heads] = combined(old, source[:, heads], patch.operation, patch.amount).to(value.dtype)
            else:
                value[rows] = combined(value[rows], source, patch.operation, patch.amount).to(value.dtype)
        return value

    def pattern(self, kind: str, layer: int, segment: int, value: Tensor) -> Tensor:
        writes = self.writes.get((kind, layer, self.position), ())
        value = value.clone() if writes else value
        for rows, patch, where in writes:
            assert where.shape == PATTERN
            source = self._source(kind, layer, patch)[:, :, self.position, : value.shape[-1]]
            heads = list(range(value.shape[1])) if where.heads is None else list(where.heads)
            old = value[rows, heads, 0]
            value[rows, heads, 0] = combined(old, source[:, heads], patch.operation, patch.amount).to(value.dtype)
        return value
