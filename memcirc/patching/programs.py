"""Programs of token, latent and generation segments, and patches at their steps.

How a model with latent thoughts runs (CODI, Shen et al. 2025): the question in one pass; then K positions whose input
is no token but a vector, e_0 = feed(h of the last token before), e_{k+1} = feed(h_k) with h_k the last hidden state
(after the final norm) at latent step k; then tokens again, and the answer. ``feed`` is a projection (CODI), the
identity (Coconut, Hao et al. 2024) or a fixed token's embedding whatever h is (pause tokens, Goyal et al. 2024).

Step k counts latent positions from 0; the token before the first (BOT) is none. What follows a patch must be said:

- ``propagate``: later latent inputs are recomputed from the patched hidden states;
- ``freeze_latents``: later latent inputs keep the base run's values.

Rows (a patch on an example) that begin at the same position run together, from the base run's keys and values on, a
position at a time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.engine.layers import final_normed
from memcirc.engine.weights import Weights
from memcirc.patching.forward import Taps
from memcirc.patching.generation import Decoder
from memcirc.patching.patches import Patch
from memcirc.patching.prompts import Prompts
from memcirc.patching.runs import attended, logits_of, run
from memcirc.patching.selftests import judge, noise_like
from memcirc.patching.sites import HEADS, PATTERN, Site
from memcirc.patching.writes import canonical, combined

Feed = Callable[[Float[Tensor, "row d_model"]], Float[Tensor, "row d_model"]]
Policy = Literal["propagate", "freeze_latents"]
POLICIES = ("propagate", "freeze_latents")
ROWS_AT_ONCE = 8192


@dataclass(frozen=True, eq=False)
class Tokens:
    """The same number of given tokens for every example."""

    ids: Int[Tensor, "batch pos"]


@dataclass(frozen=True)
class Latent:
    """``steps`` positions whose input is ``feed`` of the hidden state before."""

    steps: int
    feed: Feed


@dataclass(frozen=True)
class Generate:
    """``n`` tokens, greedily."""

    n: int


Segment = Tokens | Latent | Generate


def identity(hidden: Tensor) -> Tensor:
    """Coconut's feed: the hidden state itself."""
    return hidden


def pause(weights: Weights, token: int) -> Feed:
    """The feed of a pause token: its embedding, whatever the hidden state.

    Raises:
        ValueError: no such token.
    """
    if not 0 <= token < len(weights.embedding):
        raise ValueError(f"token id {token} is outside the vocabulary 0..{len(weights.embedding) - 1}")
    return lambda hidden: weights.embedding[token].to(hidden).expand_as(hidden)


@dataclass(frozen=True, eq=False)
class Program:
    """Segments in order; it begins with tokens and ends with generation.

    Raises:
        ValueError: another beginning or end, or a segment of no length.
    """

    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        if len(self.segments) < 2 or not isinstance(self.segments[0], Tokens):
            raise ValueError("a program begins with Tokens, so that there is a hidden state to go on from")
        if not isinstance(self.segments[-1], Generate) or any(isinstance(s, Generate) for s in self.segments[:-1]):
            raise ValueError("a program ends with Generate, and has one only there")
        for s in self.segments:
            if _length(s) < 1:
                raise ValueError(f"a segment of length {_length(s)} does nothing; leave it out")

    @property
    def batch(self) -> int:
        first = self.segments[0]
        assert isinstance(first, Tokens)
        return len(first.ids)

    @property
    def latent_positions(self) -> tuple[int, ...]:
        """The position of every latent step."""
        found: list[int] = []
        start = 0
        for s in self.segments:
            if isinstance(s, Latent):
                found += range(start, start + s.steps)
            start += _length(s)
        return tuple(found)

    @property
    def given(self) -> int:
        """Positions before generation."""
        return sum(_length(s) for s in self.segments[:-1])

    @property
    def generated(self) -> int:
        return _length(self.segments[-1])

    def inputs(self) -> Iterator[tuple[int, Tensor | Feed]]:
        """Position by position what is read before generation: ids [batch], or the feed of a latent step."""
        position = 0
        for s in self.segments[:-1]:
            for i in range(_length(s)):
                assert not isinstance(s, Generate)
                yield position, s.ids[:, i] if isinstance(s, Tokens) else s.feed
                position += 1


def _length(segment: Segment) -> int:
    if isinstance(segment, Tokens):
        return segment.ids.shape[1]
    return segment.steps if isinstance(segment, Latent) else segment.n


def at_step(program: Program, kind: str, steps: int | Sequence[int], layer: int | None = None) -> Site:
    """The site of a block at latent steps (0-based), or ``latent_in``: the vectors fed there.

    Raises:
        ValueError: a step out of range.
    """
    wanted = [steps] if isinstance(steps, int) else list(steps)
    positions = program.latent_positions
    for step in wanted:
        if not 0 <= step < len(positions):
            raise ValueError(f"step {step} is out of range; the program has latent steps 0 to {len(positions) - 1}")
    where = tuple(positions[step] for step in wanted)
    return Site("resid_pre", 0, where) if kind == "latent_in" else Site(kind, layer, where)


@dataclass(frozen=True, eq=False)
class ProgramRun:
    """A program run through: input embeddings (positions included) and last residual before generation, what was
    recorded there, keys and values, and what was generated with the logits of its first token."""

    embeds: Float[Tensor, "batch pos d_model"]
    final: Float[Tensor, "batch pos d_model"]
    found: Mapping[tuple[str, int], Tensor]
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
    return ProgramRun(x, final, found, generated, logits)


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


def run_patched(
    weights: Weights, program: Program, base: ProgramRun, source: ProgramRun, patches: Sequence[Patch], policy: str
) -> PatchedRuns:
    """Run the base program once a patch.

    Args:
        program: the base run's.
        base, source: runs of the same program on both prompts; ``source`` with the patches' kinds recorded.
        patches: with positions in every site (see :func:`at_step`), before generation.
        policy: ``propagate`` or ``freeze_latents``.

    Raises:
        ValueError: an unknown policy; a site without positions, beyond the program, or not of the fast engine.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy {policy!r} is not known; accepted: {', '.join(POLICIES)}")
    firsts = [_first_position(patch, program, len(weights.blocks)) for patch in patches]
    shape = (len(patches), program.batch)
    generated = torch.zeros(*shape, program.generated, dtype=torch.int64, device=base.embeds.device)
    logits = torch.zeros(*shape, base.logits.shape[-1], dtype=base.logits.dtype, device=base.embeds.device)
    per_chunk = max(1, ROWS_AT_ONCE // program.batch)
    for first in sorted(set(firsts)):
        members = [i for i, position in enumerate(firsts) if position == first]
        for i in range(0, len(members), per_chunk):
            chunk = members[i : i + per_chunk]
            rows = _Rows(weights, program, base, source, [patches[j] for j in chunk], first)
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


def check_places(weights: Weights, program: Program, base: ProgramRun, kinds: Sequence[str]) -> float:
    """The self-tests of a sweep over a program, on its first example; returns the largest change by a self-patch.

    Every kind is written at the first latent step of the first layer, later steps recomputed: what is there (nothing
    may change) and noise (the logits must change). Not tested by noise in a model of one layer, where what follows
    attention reaches the answer through the feed alone.

    Raises:
        ValueError: a test fails.
    """
    one, first = _first_example(program), _first_run(base)
    patches = [Patch((at_step(program, kind, 0, 0),)) for kind in kinds]
    noise = {key: value + noise_like(value) for key, value in first.found.items()}
    unchanged, noisy = (
        run_patched(weights, one, first, replace(first, found=found), patches, "propagate").logits[:, 0]
        for found in (first.found, noise)
    )
    if len(weights.blocks) == 1:
        noisy = unchanged + 1
    return max(
        judge(patch.label, first.logits[0], same, other, weights.dtype)
        for patch, same, other in zip(patches, unchanged, noisy, strict=True)
    )


def _first_example(program: Program) -> Program:
    return Program(tuple(Tokens(s.ids[:1]) if isinstance(s, Tokens) else s for s in program.segments))


def _first_run(run: ProgramRun) -> ProgramRun:
    found = {key: value[:1] for key, value in run.found.items()}
    return ProgramRun(run.embeds[:1], run.final[:1], found, run.generated[:1], run.logits[:1])


class _Rows(Taps):
    """Rows of several patches that begin at one position: patch by patch, example by example."""

    def __init__(
        self, weights: Weights, program: Program, base: ProgramRun, source: ProgramRun, patches: Sequence[Patch],
        first: int,
    ) -> None:  # fmt: skip
        self.weights, self.program, self.base, self.source = weights, program, base, source
        self.first, self.position = first, first
        self.batch = program.batch
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
            recompute = propagate and position > self.first and callable(given)
            x = self.base.embeds[self.owner, position]
            if recompute:
                assert final is not None
                assert callable(given)
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
