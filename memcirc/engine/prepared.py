"""Circuits on prepared pairs: what all runs share is computed once for each batch and kept.

Shared are the prefix's keys and values, the base prompts' embeddings, the ablation values with their totals, and the
queries, keys and values of branches at rest. Batches are kept as long as they fit the memory that runners share
(:mod:`memcirc.engine.memory`), the others are computed anew for every call, so that memory grows neither with the
number of pairs nor with that of runners.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.block import final_normed
from memcirc.decoder.weights import Weights
from memcirc.decoder.workspace import Workspace
from memcirc.engine.ablation import ValuesOf, ablation_values, rest_heads
from memcirc.engine.batch import EngineBatch
from memcirc.engine.circuits import Ready, run_plans
from memcirc.engine.frame import Frame, Slots, batch_bytes, batch_slots, frame_of, slots_bytes
from memcirc.engine.memory import Memory
from memcirc.engine.objective import all_logits, answer_logits
from memcirc.engine.plain import prefix_pass
from memcirc.engine.plan import Plan, plan
from memcirc.engine.values import embedding
from memcirc.interventions import RunSettings
from memcirc.metrics import Answers
from memcirc.models import Model
from memcirc.pairs.record import Pairs

MANY_CIRCUITS = 16
CACHE_BYTES = 16 << 20


@dataclass(frozen=True, eq=False)
class Prepared:
    """Pairs made ready for many circuits; make one with :func:`prepare`."""

    weights: Weights
    pairs: Pairs
    settings: RunSettings
    values_of: ValuesOf
    slots: tuple[Slots, ...]
    answers: Answers
    sequence: bool
    memory: Memory
    runner: int

    @property
    def workspace(self) -> Workspace:
        """Where passes put what they need for a moment."""
        return self.memory.workspace

    def logits(self, kept: Tensor, answers_only: bool = False) -> Tensor:
        """Run circuits.

        Args:
            kept: bool [circuits, n_edges]: a circuit's edges in the graph's order.
            answers_only: the answers' columns alone, in the layout of :class:`memcirc.metrics.Answers`.

        Returns:
            float [circuits, pairs, d_vocab] at each pair's answer position, or [circuits, pairs, alternative]; with
            ``sequence`` a step axis stands before the last.

        Raises:
            ValueError: not one bool for each edge of the graph.
        """
        n_edges = self.weights.graph.n_edges
        if kept.ndim != 2 or kept.shape[1] != n_edges or kept.dtype != torch.bool:
            raise ValueError(f"circuits are bool [circuits, {n_edges}], not {kept.dtype} {list(kept.shape)}")
        carried = self._carried(kept)
        n_columns = self.answers.columns.shape[1] if answers_only else self.weights.d_vocab
        size = (len(kept), len(self.pairs), self._n_steps(), n_columns)
        result = torch.zeros(size, dtype=self.weights.stream_dtype, device=self.weights.device)
        with torch.inference_mode(False), torch.no_grad():
            for ready in self._ready():
                for rows, final in self._finals(ready, carried):
                    logits = self._read(ready.frame, final, answers_only)
                    where = rows.to(result.device)[:, None], ready.frame.index
                    result[*where, : logits.shape[2]] = logits.transpose(0, 1)
        return result if self.sequence else result[:, :, 0]

    def _carried(self, kept: Tensor) -> np.ndarray:
        """bool [circuit, dst, src]: which edges carry the run's own outputs."""
        own = kept if self.settings.mode == "tree" else ~kept
        return self.weights.graph.to_matrix(own.cpu()).numpy()

    def _finals(self, ready: Ready, carried: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
        """The rows of circuits that are run together, and their final residuals: several of like size; or one at a
        time, those with the same first layers one after the other."""
        size = _circuits_at_once(self.weights, ready.frame)
        order = np.argsort(carried.sum((1, 2)), kind="stable") if size > 1 else _alike_first(carried)
        parts = [order[first : first + size] for first in range(0, len(order), size)]
        finals = run_plans(self.weights, ready, [self._planned(carried[rows]) for rows in parts], self.workspace)
        yield from ((torch.from_numpy(rows), final) for rows, final in zip(parts, finals, strict=True))

    def _planned(self, carried: np.ndarray) -> Plan:
        rests = self.settings.ablated.rests or self.settings.dangling == "prune"
        return plan(self.weights.graph, carried, rests, self.weights.coupled)

    def _read(self, frame: Frame, final: Tensor, answers_only: bool) -> Float[Tensor, "batch circuit step column"]:
        hat = final_normed(self.weights, final)
        return answer_logits(self.weights, frame, hat) if answers_only else all_logits(self.weights, hat)

    def _n_steps(self) -> int:
        return max(len(pair.answer_sequence_ids) for pair in self.pairs) if self.sequence else 1

    def _ready(self) -> Iterator[Ready]:
        """All batches, from memory or computed."""
        return (self.ready(i) for i in range(len(self.slots)))

    def ready(self, i: int) -> Ready:
        """A batch by its number, from memory or computed."""
        kept, slots = self.memory.used_by(self.runner), self.slots[i]
        if i in kept:
            return kept[i][0]  # type: ignore[no-any-return]
        keeps = self.memory.has_room(self.runner, self._sizes[i] + self._at_work)
        ready = self._make_ready(slots, Workspace(self.weights.device) if keeps else self.workspace)
        if keeps:
            kept[i] = ready, _bytes(ready)
        return ready

    @cached_property
    def _sizes(self) -> list[int]:
        """Bytes of each batch."""
        return [slots_bytes(self.weights, self.pairs, slots, self.sequence) for slots in self.slots]

    @property
    def _at_work(self) -> int:
        """Room to leave for the batch that is made anew, where not all can be kept."""
        return 0 if sum(self._sizes) <= self.memory.budget else max(self._sizes)

    def _make_ready(self, slots: Slots, store: Workspace) -> Ready:
        frame = frame_of(self.weights, self.pairs, self.answers, slots, self.sequence)
        prefix = prefix_pass(self.weights, frame, self.workspace, store)
        values, rest = self.values_of(EngineBatch(self.weights, frame, prefix, self.workspace))
        embed = embedding(self.weights, frame, self.settings.prompt)
        return Ready(frame, prefix, embed, values, rest or rest_heads(self.weights, frame, values.totals))


def prepare(
    model: Model,
    pairs: Pairs,
    settings: RunSettings,
    reference: Pairs | None = None,
    batch_size: int | None = None,
    sequence: bool = False,
    memory: Memory | None = None,
) -> Prepared:
    """Compute what all circuits share (batch by batch, when first used).

    Args:
        settings: mode, ablation, direction, dangling nodes.
        reference: pairs that the means are taken over; default: ``pairs``.
        batch_size: pairs at a time; default: as many as keep source outputs, keys, values and patterns below 256 MiB (4
            GiB on a GPU).
        sequence: teacher-force each pair's whole answer and read every step.
        memory: shared with other runners; default: one of its own.

    Raises:
        ValueError: unusable pairs, or a reference where no mean is taken.
    """
    weights = model.weights
    memory = memory or Memory(weights.device)
    slots = batch_slots(weights, pairs, batch_size, settings.ablated.keeps_prefix, sequence)
    answers = Answers.of(pairs, weights.d_vocab, weights.device)
    with torch.inference_mode(False), torch.no_grad():
        values_of = ablation_values(model, pairs, settings, reference, sequence, memory.workspace)
    prepared = Prepared(weights, pairs, settings, values_of, tuple(slots), answers, sequence, memory, memory.enter())
    with torch.inference_mode(False), torch.no_grad():
        for _ in prepared._ready():
            pass
    return prepared


def _circuits_at_once(weights: Weights, frame: Frame) -> int:
    """As many as keep the deltas of all sources in the processor's cache (on a GPU below :func:`batch_bytes`). Beyond
    ``MANY_CIRCUITS`` a weight is read seldom enough, and what one circuit alone needs is computed for too many
    others."""
    one = frame.clean.numel() * len(weights.graph.sources) * weights.d_model * weights.stream_dtype.itemsize
    room = batch_bytes(weights.device) if weights.device.type == "cuda" else CACHE_BYTES
    return max(1, min(MANY_CIRCUITS, room // one))


def _alike_first(carried: np.ndarray) -> np.ndarray:
    """int64 [circuit]: circuits in the order of what they carry, destination by destination."""
    packed = np.packbits(carried, axis=-1)
    return np.array(sorted(range(len(packed)), key=lambda i: packed[i].tobytes()), dtype=np.int64)


def _bytes(ready: Ready) -> int:
    """Memory of a ready batch, shared tensors counted once; the model's own are not the batch's."""
    seen: dict[int, int] = {}

    def visit(part: object) -> None:
        if isinstance(part, Tensor):
            seen[part.untyped_storage().data_ptr()] = part.untyped_storage().nbytes()
        elif isinstance(part, Sequence) and not isinstance(part, str):
            for each in part:
                visit(each)
        elif hasattr(part, "__dataclass_fields__") and not isinstance(part, Weights):
            for name in part.__dataclass_fields__:
                visit(getattr(part, name))

    visit(ready)
    return sum(seen.values())
