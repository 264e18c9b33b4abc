"""Which values are written where: patches x examples as index tensors, with everything left out that changes nothing.

A row is one patch on one example. Of a row it is enough to know the entries that differ from the run they are written
into: before the first such position nothing changes (causal attention), below the first such layer neither, and a row
without any is the base run itself, with an effect of exactly 0. An example too short for a patch has no such effect,
and no row counts for it (:func:`has_places`).
"""

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from memcirc.patching.patches import Patch
from memcirc.patching.runs import RunPair
from memcirc.patching.sites import KINDS, PATTERN, QUERY, Site

WHOLE, HEAD, ENTRY = "whole", "head", "entry"


@dataclass(frozen=True)
class Place:
    """Where and how a group of entries is written. ``form``: all heads at a position, one head, or one entry of a
    pattern."""

    kind: str
    layer: int
    form: str
    operation: str
    amount: float

    @property
    def shape(self) -> str:
        return KINDS[self.kind].shape


@dataclass(frozen=True, eq=False)
class Entries:
    """Entries of one place: the row, position, head and source of each (-1 where there is none)."""

    row: Int[Tensor, " entry"]
    pos: Int[Tensor, " entry"]
    head: Int[Tensor, " entry"]
    source: Int[Tensor, " entry"]

    def __getitem__(self, which: Tensor) -> "Entries":
        return Entries(self.row[which], self.pos[which], self.head[which], self.source[which])


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows that differ from the base run: patch, example, first layer and position of each, and all entries."""

    patch: Int[Tensor, " row"]
    example: Int[Tensor, " row"]
    layer: Int[Tensor, " row"]
    start: Int[Tensor, " row"]
    entries: Mapping[Place, Entries]

    def __len__(self) -> int:
        return len(self.patch)


def canonical(where: Site, n_layers: int = sys.maxsize) -> tuple[str, int]:
    """Kind and layer under which a site is written: a block's output is the next one's input, rows of the scores are
    rows of the pattern."""
    if where.about.next_block and where.layer is not None and where.layer + 1 < n_layers:
        return where.about.same_as, where.layer + 1
    return where.about.written_as or where.kind, where.layer or 0


def rows_of(runs: RunPair, patches: Sequence[Patch], skip: bool = True) -> Rows:
    """The rows of all patches on all examples.

    Args:
        runs: with every place that is written recorded in both, by :func:`canonical` name.
        skip: leave out entries that change nothing.
    """
    lengths = runs.prompts.lengths
    groups = _grouped(patches, len(runs.weights.blocks), int(lengths.max()))
    device, batch = lengths.device, len(lengths)
    n_cells = len(patches) * batch
    far = torch.iinfo(torch.int64).max
    start, layer = (torch.full((n_cells,), far, device=device) for _ in range(2))
    examples = torch.arange(batch, device=device)
    spread: dict[Place, tuple[Entries, Tensor]] = {}
    for place, columns in groups.items():
        patch, pos, head, origin = (torch.tensor(c, device=device) for c in zip(*columns, strict=True))
        cell = (patch[:, None] * batch + examples).flatten()
        entries = Entries(cell, *(c.repeat_interleave(batch) for c in (pos, head, origin)))
        entries = entries[entries.pos < lengths[cell % batch]]
        counts = torch.ones_like(entries.row, dtype=torch.bool)
        if skip and place.operation in ("replace", "interpolate"):
            counts = _differing(runs, place, entries)
        spread[place] = entries, counts
        cells, where = entries.row[counts], entries.pos[counts]
        start.scatter_reduce_(0, cells, where, "amin")
        layer.scatter_reduce_(0, cells, torch.full_like(cells, place.layer), "amin")
    cells = (start < far).nonzero()[:, 0]
    new_row = torch.full((n_cells,), -1, device=device)
    new_row[cells] = torch.arange(len(cells), device=device)
    kept = {}
    for place, (entries, _) in spread.items():
        written = (entries.pos >= start[entries.row]) & (place.layer >= layer[entries.row])
        if written.any():
            entries = entries[written]
            kept[place] = Entries(new_row[entries.row], entries.pos, entries.head, entries.source)
    return Rows(cells // batch, cells % batch, layer[cells], start[cells], kept)


def has_places(patches: Sequence[Patch], lengths: Int[Tensor, " batch"]) -> Bool[Tensor, "patch batch"]:
    """Whether an example has every position that a patch names; one that names none can be written everywhere."""
    last = [
        max((p for where in patch.sites for p in (*(where.positions or ()), *(where.sources or ()))), default=-1)
        for patch in patches
    ]
    return torch.tensor(last, dtype=torch.int64, device=lengths.device)[:, None] < lengths


def _grouped(patches: Sequence[Patch], n_layers: int, length: int) -> dict[Place, list[tuple[int, int, int, int]]]:
    """(patch, position, head, source) of every entry, by place."""
    groups: dict[Place, list[tuple[int, int, int, int]]] = defaultdict(list)
    everywhere = range(length)
    for i, patch in enumerate(patches):
        for where in patch.sites:
            kind, layer = canonical(where, n_layers)
            form = WHOLE if where.heads is None else HEAD
            form = form if where.sources is None else ENTRY
            place = Place(kind, layer, form, patch.operation, patch.amount)
            heads = where.heads or (-1,)
            if form == ENTRY and where.heads is None:
                raise ValueError(f"{where.hook}: single entries of a pattern are written head by head; name the heads")
            groups[place] += [
                (i, pos, head, origin)
                for pos in (everywhere if where.positions is None else where.positions)
                for head in heads
                for origin in (where.sources or (-1,))
            ]
    return groups


def _differing(runs: RunPair, place: Place, entries: Entries) -> Bool[Tensor, " entry"]:
    """Whether the source run's value differs from that of the run it is written into."""
    key, example = (place.kind, place.layer), entries.row % len(runs.prompts)
    differs = runs.source.found[key] != runs.base.found[key]
    if place.shape == PATTERN:
        differs = differs.transpose(1, 2)
    if place.form == ENTRY:
        differs = differs[example, entries.pos, entries.head, entries.source]
    elif place.form == HEAD:
        differs = differs.any(-1)[example, entries.pos, entries.head]
    else:
        differs = differs.flatten(2).any(-1)[example, entries.pos]
    if KINDS[place.kind].through == QUERY and runs.weights.causal:
        differs = differs & (entries.pos > 0)  # a query that sees one key attends to it, whatever it is
    return differs & (entries.pos >= runs.shared[example])


def mean_over_examples(source: Tensor, shape: str, lengths: Int[Tensor, " batch"]) -> Tensor:
    """The mean of a place over the examples that have its position (padding is no value), in ``source``'s own shape.

    Args:
        source: [batch, pos, ...] or, for a pattern, [batch, head, destination, source]; a destination sees no padding.
        shape: of the place (see :class:`memcirc.patching.sites.Site`).
    """
    axis = 2 if shape == PATTERN else 1
    has = torch.arange(source.shape[axis], device=source.device) < lengths[:, None]
    has = has[(slice(None), *[None] * (axis - 1), slice(None), *[None] * (source.ndim - axis - 1))]
    total = source.where(has, 0).sum(0, keepdim=True)
    return (total / has.sum(0, keepdim=True).clamp_min(1)).expand_as(source)


def combined(current: Tensor, value: Tensor, operation: str, amount: float) -> Tensor:
    """The values at a place after the write, from those there and those of the source run."""
    if operation in ("replace", "mean"):
        return value
    if operation == "add":
        return current + amount * value
    if operation == "interpolate":
        return current + amount * (value - current)
    return current * (amount if operation == "scale" else 0.0)
