"""Every patch of a sweep in one sweep through the network, exactly.

1. Rows (a patch on an example) go into the batch together (:mod:`memcirc.patching.writes` leaves out those without
   effect).
2. A row joins at its first patched layer, from the residual stream of the base run, which was computed once.
3. It runs only the positions from its first patched one on; keys and values before that are the base run's.
4. In the last block only the positions that the metric reads go beyond keys and values.

Exact for causal attention, because no position sees a later one; a bidirectional model runs all positions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.decoder.weights import Weights
from memcirc.patching.forward import Segment, Taps, read_tokens, run_block
from memcirc.patching.patches import Patch
from memcirc.patching.runs import RunPair, attended
from memcirc.patching.sites import HEADS, KINDS, PATTERN, Site
from memcirc.patching.writes import (
    ENTRY,
    WHOLE,
    Entries,
    Place,
    Rows,
    canonical,
    combined,
    mean_over_examples,
    rows_of,
)

ACCUMULATE = ("add", "interpolate", "scale")
"""Operations that, done twice, give something else than done once."""
BEFORE_BLOCKS = tuple(name for name, kind in KINDS.items() if kind.before_blocks)


def slow_reason(patch: Patch, gate_bias: bool) -> str | None:
    """Why a patch needs full passes through TransformerLens; None where the engine is exact.

    Args:
        gate_bias: the model's gated MLPs have a bias before their output matrix, which the engine has folded away.
    """
    for where in patch.sites:
        if not where.about.fast:
            return f"{where.kind!r} is not a place of the fast engine"
        if where.about.written_as and patch.operation != "replace":
            return f"{where.kind!r} can be replaced by rows only"
        if where.kind == "mlp_post" and gate_bias:
            return "this model's gated MLP has a bias"
    if patch.operation in ACCUMULATE and any(_meet(one, other) for one, other in combinations(patch.sites, 2)):
        return f"{patch.operation!r} is done twice where its sites meet"
    return None


def _meet(one: Site, other: Site) -> bool:
    """Whether two sites have a place in common."""
    axes = ((one.positions, other.positions), (one.heads, other.heads), (one.sources, other.sources))
    return canonical(one) == canonical(other) and all(a is None or b is None or set(a) & set(b) for a, b in axes)


def kinds_to_record(patches: Sequence[Patch], n_layers: int) -> list[str]:
    """The places whose values a sweep writes."""
    return sorted({canonical(where, n_layers)[0] for patch in patches for where in patch.sites})


def base_kinds(weights: Weights) -> list[str]:
    """What rows need of the base run: where they join, and their prefix."""
    return ["resid_pre", attended(weights)[1], "v"]


@dataclass(frozen=True, eq=False)
class Finals:
    """Rows that were run: patch, example, last residual at the positions read."""

    patch: Int[Tensor, " row"]
    example: Int[Tensor, " row"]
    final: Float[Tensor, "row step d_model"]


def patched_finals(
    runs: RunPair, patches: Sequence[Patch], token_budget: int | None = None, skip: bool = True
) -> Iterator[Finals]:
    """Run every patch on every example; those that change nothing are left out.

    Args:
        runs: with :func:`kinds_to_record` recorded in both, and :func:`base_kinds` in the base run.
        token_budget: tokens that run at once; default: what fits into :func:`default_budget`.
        skip: leave out what changes nothing (a self-test writes it all the same).
    """
    weights, prompts, rows = runs.weights, runs.prompts, rows_of(runs, patches, skip)
    if not len(rows):
        return
    first_read = prompts.read.amin(1)[rows.example]
    start = torch.minimum(rows.start, first_read) if weights.causal else torch.zeros_like(rows.start)
    order = torch.argsort(rows.layer * (prompts.ids.shape[1] + 1) + start, stable=True)
    tokens = (prompts.ids.shape[1] - start[order]).cumsum(0)
    chunk = (tokens - 1) // (token_budget or default_budget(weights))
    for number in chunk.unique():
        members = order[chunk == number]
        members = members[torch.argsort(start[members] * len(weights.blocks) + rows.layer[members], stable=True)]
        yield _Chunk(runs, rows, start, members).finals()


def default_budget(weights: Weights) -> int:
    """Tokens whose activations take about 256 MiB in a block (on a GPU 4 GiB)."""
    numbers = 8 * weights.d_model + 3 * weights.d_mlp
    available = (4 << 30) if weights.device.type == "cuda" else (256 << 20)
    return max(1, available // (numbers * weights.stream_dtype.itemsize))


class _Chunk(Taps):
    """The rows that run together, by start, within a start by first layer: at every layer the active ones of a start
    are its first."""

    def __init__(self, runs: RunPair, rows: Rows, start: Tensor, members: Tensor) -> None:
        weights, prompts = runs.weights, runs.prompts
        self.weights, self.prompts, self.base, self.source = weights, prompts, runs.base.found, runs.source.found
        self.patch, self.example = rows.patch[members], rows.example[members]
        self.first_layer, self.start = rows.layer[members], start[members]
        self.length, self.last = prompts.ids.shape[1], len(weights.blocks) - 1
        starts, sizes = self.start.unique_consecutive(return_counts=True)
        self.groups = [slice(int(end - n), int(end)) for n, end in zip(sizes, sizes.cumsum(0), strict=True)]
        self.starts = starts.tolist()
        self.steps = prompts.read.shape[1]
        self.row_token = torch.zeros_like(self.start)
        self.segment_rows: list[slice] = []
        self.slot = torch.full((len(prompts), self.length), -1, device=self.start.device)
        for step in reversed(range(self.steps)):  # where padding repeats a position, its first step counts
            self.slot.scatter_(1, prompts.read[:, step : step + 1], step)
        self.writes = self._own_entries(rows, members)

    def _own_entries(self, rows: Rows, members: Tensor) -> Mapping[tuple[str, int], list[tuple[Place, Entries]]]:
        local = torch.full((len(rows),), -1, device=members.device)
        local[members] = torch.arange(len(members), device=members.device)
        writes: dict[tuple[str, int], list[tuple[Place, Entries]]] = {}
        for place, entries in rows.entries.items():
            row = local[entries.row]
            mine = row >= 0
            if mine.any():
                own = Entries(row[mine], entries.pos[mine], entries.head[mine], entries.source[mine])
                writes.setdefault((place.kind, place.layer), []).append((place, own))
        return writes

    def finals(self) -> Finals:
        weights, keys = self.weights, attended(self.weights)[1]
        x, active = self.base["resid_pre", 0].new_empty(0, weights.d_model), [0] * len(self.groups)
        for layer in range(int(self.first_layer.min()), self.last + 1):
            x, active, segments = self._joined(layer, x, active)
            if layer == 0:
                for kind in BEFORE_BLOCKS:
                    x = self.at(kind, 0, x)
            past = self.base[keys, layer], self.base["v", layer]
            read = read_tokens(segments) if layer == self.last else None
            x, _ = run_block(weights, layer, x, segments, past, self, read)
        return Finals(self.patch, self.example, x.unflatten(0, (-1, self.steps)))

    def _joined(self, layer: int, x: Tensor, active: list[int]) -> tuple[Tensor, list[int], list[Segment]]:
        """The stream with the rows added that begin at this layer, and the segments it now consists of."""
        parts, segments, now, before, token = [], [], [], 0, 0
        self.segment_rows = []
        for group, start, n_before in zip(self.groups, self.starts, active, strict=True):
            width = self.length - start
            n_now = int((self.first_layer[group] <= layer).sum())
            now.append(n_now)
            if not n_now:
                continue
            parts.append(x[before : before + n_before * width])
            before += n_before * width
            members = slice(group.start, group.start + n_now)
            if n_now > n_before:
                joining = self.example[group.start + n_before : members.stop]
                parts.append(self.base["resid_pre", layer][joining, start:].flatten(0, 1))
            owner = self.example[members]
            segments.append(Segment(n_now, start, self.length, owner, self.prompts.read[owner]))
            self.segment_rows.append(members)
            self.row_token[members] = token + torch.arange(n_now, device=x.device) * width
            token += n_now * width
        return torch.cat(parts), now, segments

    def at(self, kind: str, layer: int, value: Tensor) -> Tensor:
        for place, entries in self.writes.get((kind, layer), ()):
            if layer == self.last and KINDS[kind].trimmed:
                slot = self.slot[self.example[entries.row], entries.pos]
                entries, slot = entries[slot >= 0], slot[slot >= 0]
                token = entries.row * self.steps + slot
            else:
                token = self.row_token[entries.row] + entries.pos - self.start[entries.row]
            owner, heads = self.example[entries.row], place.shape == HEADS and place.form != WHOLE
            index = (token, entries.head) if heads else (token,)
            origin = (owner, entries.pos, entries.head) if heads else (owner, entries.pos)
            source = self._source(place)[origin]
            if KINDS[kind].before_blocks:
                was = self.base[kind, layer][origin]
                new = value[index] + combined(was, source, place.operation, place.amount) - was
            else:
                new = combined(value[index], source, place.operation, place.amount)
            value = value.index_put(index, new.to(value.dtype))
        return value

    def pattern(self, kind: str, layer: int, segment: int, value: Tensor) -> Tensor:
        rows, start = self.segment_rows[segment], self.starts_of(segment)
        for place, entries in self.writes.get((kind, layer), ()):
            assert place.shape == PATTERN
            entries = entries[(entries.row >= rows.start) & (entries.row < rows.stop)]
            query = entries.pos - start
            if layer == self.last:
                query = self.slot[self.example[entries.row], entries.pos]
                entries, query = entries[query >= 0], query[query >= 0]
            owner, row = self.example[entries.row], entries.row - rows.start
            source = self._source(place)
            index: tuple[Tensor, ...]
            if place.form == ENTRY:
                index = (row, entries.head, query, entries.source)
                new = source[owner, entries.head, entries.pos, entries.source]
            elif place.form == WHOLE:
                heads = torch.arange(value.shape[1], device=value.device)
                index = (row[:, None], heads, query[:, None])
                new = source[owner[:, None], heads, entries.pos[:, None]]
            else:
                index = (row, entries.head, query)
                new = source[owner, entries.head, entries.pos]
            new = combined(value[index], new, place.operation, place.amount)
            value = value.index_put(index, new.to(value.dtype))
        return value

    def starts_of(self, segment: int) -> int:
        return int(self.start[self.segment_rows[segment].start])

    def _source(self, place: Place) -> Tensor:
        source = self.source[place.kind, place.layer]
        return mean_over_examples(source, place.shape, self.prompts.lengths) if place.operation == "mean" else source
