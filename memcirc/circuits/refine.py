"""From a circuit that reaches the target to one of which no single edge can be spared.

The shortest prefix of a ranking holds edges that the circuit can do without: a ranking scores edges one at a time. A
circuit is *1-minimal* (the word of Zeller and Hildebrandt 2002, who shrink failing inputs) where it reaches its target
and, whichever single edge is removed, what is left does not. The certificate is that each of these removals was
measured.

1. **Groups, then single edges.** The circuit is cut into blocks along the ranking; every block's removal is measured,
   and as many blocks go together, the most dispensable first, as the target allows. Blocks are halved down to single
   edges, and those tried until none can be spared.
2. **Exchanges.** Removals interact: an edge that went early may stand in for several that stayed. The edges that add
   most to the 1-minimal circuit are added back, one at a time, and the circuit is reduced again.
3. **Restarts** from circuits of other rankings. The smallest certified circuit is returned, of equal ones the most
   faithful.

The procedure knows no model: it is given a function from masks to margins, by how much a circuit keeps more than is
asked of it, below 0 where it falls short. It stops after a number of circuits and says so: the certificate may
then be missing. Margins are taken as they are measured; beside other circuits one and the same may differ by rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Mask = Bool[Tensor, " n_edges"]
Order = Int[Tensor, " n_edges"]
Margins = Callable[[Bool[Tensor, "circuits n_edges"]], Float[Tensor, " circuits"]]

BLOCKS = 64
STEPS = 16
TRIED = 32
EXCHANGES = 4
MOST_CIRCUITS = 1000
CHUNK = 256
ROUNDING = 0.01
"""By how much less a circuit may keep beside others than alone: more than half precisions round."""


@dataclass(frozen=True, eq=False)
class Refinement:
    """A circuit as far as it could be reduced.

    Attributes:
        mask: its edges; margin: its own, as measured.
        without: descending, the margin of what each single removal leaves, all below 0; None where they were not
            measured.
        circuits: how many were measured in all.
    """

    mask: Mask
    margin: float
    without: Tensor | None = None
    circuits: int = 0

    @property
    def n_edges(self) -> int:
        """Edges that are left."""
        return int(self.mask.sum())

    @property
    def certified(self) -> bool:
        """Whether every single removal was measured, and fails."""
        return self.without is not None

    @property
    def closest(self) -> float | None:
        """The highest margin that the removal of one edge leaves; None where there is no edge, or no certificate."""
        return float(self.without[0]) if self.without is not None and len(self.without) else None

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Lowest is best: certified, then small, then faithful."""
        return not self.certified, self.n_edges, -self.margin


def refined(margins: Margins, starts: Sequence[Mask], orders: Sequence[Order], most: int) -> Refinement:
    """The smallest 1-minimal circuit found.

    Args:
        starts: circuits, of which the first reaches its target, as its caller has measured, and is to be improved, also
            where it falls short by rounding here; others may fail, and are then passed over.
        orders: of each start the ranking along which it is cut into blocks, and from which edges are added back.
        most: circuits that may be measured, besides the starts.

    Raises:
        ValueError: the first start falls short by more than ``ROUNDING``.
    """
    values = margins(torch.stack(tuple(starts))).tolist()
    if values[0] < -ROUNDING:
        raise ValueError(f"the circuit to refine keeps {-values[0]:.4g} less than its target")
    search = _Search(margins, most, Refinement(starts[0], values[0]))
    try:
        for number, (start, order, value) in enumerate(zip(starts, orders, values, strict=True)):
            if value >= 0 or not number:
                search.descend(Refinement(start, value), order)
    except _Spent:
        pass
    return replace(search.best, circuits=search.circuits + len(starts))


class _Spent(Exception):
    """No more circuits may be measured."""


class _Search:
    """The best circuit so far, and how many were measured for it."""

    def __init__(self, margins: Margins, most: int, start: Refinement) -> None:
        self._margins, self._most = margins, most
        self.best, self.circuits = start, 0

    def descend(self, start: Refinement, order: Order) -> None:
        """Reduce a circuit, and go on by exchanges as long as they make it smaller."""
        found: Refinement | None = self._reduced(start, order)
        while found is not None:
            found = self._exchanged(found, order)

    def _reduced(self, circuit: Refinement, order: Order) -> Refinement:
        """A 1-minimal circuit among the parts of a circuit."""
        size = max(1, circuit.n_edges // BLOCKS)
        while True:
            blocks = _blocks(order[circuit.mask[order]], size)
            smaller, values = self._without_blocks(circuit, blocks)
            if size == 1 and smaller is circuit:
                return self._kept(replace(circuit, without=values))
            circuit, size = smaller, max(1, size // 2)

    def _without_blocks(self, circuit: Refinement, blocks: Sequence[Tensor]) -> tuple[Refinement, Tensor]:
        """The circuit without as many blocks as it can spare; and what each block's removal from the whole leaves,
        descending. A block that cannot be spared is not tried again once others are gone: it seldom can be then, and
        the next round says so."""
        first: Tensor | None = None
        while True:
            ranked = self._changed(circuit.mask, blocks, False).sort(descending=True, stable=True)
            first = ranked.values if first is None else first
            spared = [blocks[i] for i in ranked.indices[ranked.values >= 0].tolist()]
            if not spared:
                return circuit, first
            circuit = self._kept(self._most_removed(circuit.mask, spared, float(ranked.values[0])))
            blocks = [block for block in spared if circuit.mask[block[0]]]

    def _most_removed(self, mask: Mask, blocks: Sequence[Tensor], first: float) -> Refinement:
        """The circuit without the first blocks, as many as the target allows among the numbers tried: evenly over all,
        then evenly between the highest that is allowed and the next.

        Args:
            first: the margin without the first block alone, which is allowed.
        """
        found, low, high = Refinement(_changed(mask, blocks[0], False), first), 1, len(blocks)
        while high > low:
            counts = sorted({low + max(1, round((high - low) * step / STEPS)) for step in range(1, STEPS + 1)})
            together = [torch.cat(list(blocks[:count])) for count in counts]
            values = self._changed(mask, together, False)
            allowed = (values >= 0).nonzero()[:, 0].tolist()
            if allowed:
                last = allowed[-1]
                found, low = Refinement(_changed(mask, together[last], False), float(values[last])), counts[last]
                high = counts[last + 1] - 1 if last + 1 < len(counts) else low
            else:
                high = counts[0] - 1
        return found

    def _exchanged(self, circuit: Refinement, order: Order) -> Refinement | None:
        """A smaller 1-minimal circuit by way of one edge more, if there is one among those that add most."""
        for larger in self._with_one_more(circuit, order):
            found = self._reduced(larger, order)
            if found.n_edges < circuit.n_edges:
                return found
        return None

    def _with_one_more(self, circuit: Refinement, order: Order) -> Iterator[Refinement]:
        """The circuit with an edge added: of the first of the ranking outside it, as many as it has and at most
        ``TRIED``, those that add most; as far as they add what the two edges that matter least take away."""
        assert circuit.without is not None
        added = _blocks(order[~circuit.mask[order]][: min(circuit.n_edges, TRIED)], 1)
        values = self._changed(circuit.mask, added, True)
        needed = float((circuit.margin - circuit.without[:2]).sum())
        for i in values.argsort(descending=True, stable=True)[:EXCHANGES].tolist():
            if values[i] >= needed:
                yield Refinement(_changed(circuit.mask, added[i], True), float(values[i]))

    def _changed(self, mask: Mask, changes: Sequence[Tensor], present: bool) -> Float[Tensor, " changes"]:
        """The margin of the circuit with each of some sets of edges put in, or taken out."""
        if self.circuits + len(changes) > self._most:
            raise _Spent
        self.circuits += len(changes)
        parts = [changes[start : start + CHUNK] for start in range(0, len(changes), CHUNK)]
        found = [self._margins(torch.stack([_changed(mask, edges, present) for edges in part])) for part in parts]
        return torch.cat(found) if found else torch.zeros(0)

    def _kept(self, circuit: Refinement) -> Refinement:
        """The same, remembered where it is the best so far."""
        self.best = min(self.best, circuit, key=lambda each: each.rank)
        return circuit


def _changed(mask: Mask, edges: Tensor, present: bool) -> Mask:
    """The circuit with some edges put in, or taken out."""
    changed = mask.clone()
    changed[edges] = present
    return changed


def _blocks(edges: Tensor, size: int) -> tuple[Tensor, ...]:
    """Edges in parts of a size; none of no edges."""
    return edges.split(size) if len(edges) else ()
