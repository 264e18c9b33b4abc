"""Programs of token, latent and generation segments.

How a model with latent thoughts runs (CODI, Shen et al. 2025): the question in one pass; then K positions whose input
is no token but a vector, e_0 = feed(h of the last token before), e_{k+1} = feed(h_k) with h_k the last hidden state
(after the final norm) at latent step k; then tokens again, and the answer. ``feed`` is a projection (CODI), the
identity (Coconut, Hao et al. 2024) or a fixed token's embedding whatever h is (pause tokens, Goyal et al. 2024).

Step k counts latent positions from 0; the token before the first (BOT) is none.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.decoder.weights import Weights
from memcirc.patching.sites import Site

LATENT_IN = "latent_in"
Feed = Callable[[Float[Tensor, "row d_model"]], Float[Tensor, "row d_model"]]


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


ProgramSegment = Tokens | Latent | Generate


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
    return lambda hidden: weights.token_embedding(torch.tensor(token)).to(hidden).expand_as(hidden)


@dataclass(frozen=True, eq=False)
class Program:
    """Segments in order; it begins with tokens and ends with generation.

    Raises:
        ValueError: another beginning or end, or a segment of no length.
    """

    segments: tuple[ProgramSegment, ...]

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
        """The number of examples."""
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
        """The number of positions before generation."""
        return sum(_length(s) for s in self.segments[:-1])

    @property
    def generated(self) -> int:
        """The number of tokens that are generated."""
        return _length(self.segments[-1])

    def inputs(self) -> Iterator[tuple[int, Tensor | Feed]]:
        """Position by position what is read before generation: ids [batch], or the feed of a latent step."""
        position = 0
        for s in self.segments[:-1]:
            for i in range(_length(s)):
                assert not isinstance(s, Generate)
                yield position, s.ids[:, i] if isinstance(s, Tokens) else s.feed
                position += 1


def _length(segment: ProgramSegment) -> int:
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
    return Site("resid_pre", 0, where) if kind == LATENT_IN else Site(kind, layer, where)


def first_example(program: Program) -> Program:
    """The program on its first example alone."""
    return Program(tuple(Tokens(s.ids[:1]) if isinstance(s, Tokens) else s for s in program.segments))
