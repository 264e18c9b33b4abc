"""Which tokens a run computes: the positions of a batch from each pair's first difference on.

Under ``resample`` and causal attention nothing changes before the first position where clean and corrupt differ,
whatever is patched. The keys and values of that prefix are computed once for each pair
(:class:`memcirc.engine.plain.Prefix`) and only the rest of the prompt, the pair's suffix, is ever run. A batch of
suffixes is right-padded; each position knows its place in the prompt, and attention reads a mask over the padded
prefix followed by the padded suffix.

The last block needs its queries, its MLP and all that follows only where a metric reads. Its rows are those of
``read``; the keys and values it reads come from all positions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from memcirc.decoder.attention import Sight
from memcirc.decoder.positions import Rotation
from memcirc.decoder.weights import Weights
from memcirc.metrics import Answers
from memcirc.pairs.batches import collate
from memcirc.pairs.record import Pair, Pairs

WORTH_A_PREFIX = 0.8


@dataclass(frozen=True, eq=False)
class Frame:
    """A batch of suffixes.

    ``index`` are the pairs' places in their set; ``read`` are the positions, within the suffix, whose logits a metric
    reads; ``visible`` tells for each window (None: global attention) what a query sees of prefix and suffix, ``bias``
    what is added to its scores; ``rotations`` are the turns of the model's rotary tables.
    """

    index: Int[Tensor, " batch"]
    clean: Int[Tensor, "batch pos"]
    corrupt: Int[Tensor, "batch pos"]
    position: Int[Tensor, "batch pos"]
    attended: Bool[Tensor, "batch pos"]
    read: Int[Tensor, "batch step"]
    prefix: Int[Tensor, "batch prefix"]
    start: Int[Tensor, " batch"]
    visible: Mapping[int | None, Bool[Tensor, "batch pos key"]]
    bias: Float[Tensor, "batch head key"] | None
    rotations: Mapping[str, Rotation]
    answers: Answers
    targets: Int[Tensor, "batch step"] | None = None
    target_mask: Bool[Tensor, "batch step"] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def sight(self, window: int | None, reading: bool = False) -> Sight:
        """What queries see under a window: those at all positions, or ``reading`` at the read ones."""
        return Sight((self._read_visible if reading else self.visible)[window], self.bias)

    def rotation(self, name: str | None, reading: bool = False) -> Rotation | None:
        """The turn by one of the model's tables, at all positions or at the read ones; None without a table."""
        return None if name is None else (self._read_rotations if reading else self.rotations)[name]

    @cached_property
    def _read_visible(self) -> dict[int | None, Tensor]:
        return {window: self.at_read(mask, 1) for window, mask in self.visible.items()}

    @cached_property
    def _read_rotations(self) -> dict[str, Rotation]:
        return {
            name: Rotation(self.at_read(turn.cos, 1), self.at_read(turn.sin, 1), turn.adjacent)
            for name, turn in self.rotations.items()
        }

    @property
    def reads_everything(self) -> bool:
        """Every position is read, so that the last block is like the others."""
        return self.read.shape == self.clean.shape

    def at_read(self, x: Tensor, dim: int) -> Tensor:
        """Select the read positions of ``x`` along its axis ``dim``; axis 0 is the batch. An axis of length 1 is the
        same for all pairs, or at all positions."""
        if self.reads_everything or x.shape[dim] == 1:
            return x
        if x.shape[0] == 1 and len(self) > 1:
            x = x.expand(len(self), *x.shape[1:])
        shape = [1] * x.ndim
        shape[0], shape[dim] = self.read.shape
        index = self.read.view(shape).expand(*x.shape[:dim], self.read.shape[1], *x.shape[dim + 1 :])
        return x.gather(dim, index)

    def from_read(self, x: Tensor, dim: int) -> Tensor:
        """The transpose of :meth:`at_read`: rows added into zeros of the full frame."""
        if self.reads_everything:
            return x
        shape = [1] * x.ndim
        shape[0], shape[dim] = self.read.shape
        full = x.new_zeros(*x.shape[:dim], self.clean.shape[1], *x.shape[dim + 1 :])
        return full.scatter_add_(dim, self.read.view(shape).expand_as(x), x)


@dataclass(frozen=True)
class Slots:
    """Which pairs make a batch, and where their suffixes begin."""

    members: tuple[int, ...]
    starts: tuple[int, ...]


def frames(
    weights: Weights, pairs: Pairs, batch_size: int | None, share_prefix: bool, sequence: bool
) -> Iterator[Frame]:
    """Yield all pairs, batch by batch; arguments as for :func:`batch_slots`."""
    divided = batch_slots(weights, pairs, batch_size, share_prefix, sequence)
    answers = Answers.of(pairs, weights.d_vocab, weights.device)
    for slots in divided:
        yield frame_of(weights, pairs, answers, slots, sequence)


def batch_slots(
    weights: Weights, pairs: Pairs, batch_size: int | None, share_prefix: bool, sequence: bool
) -> list[Slots]:
    """Divide the pairs into batches, those of like suffix length together.

    Args:
        batch_size: pairs in a batch; default: as many as keep a batch's source outputs, keys, values and attention
            patterns below :func:`batch_bytes`.
        share_prefix: leave out what clean and corrupt have in common (exact under ``resample`` with causal attention).
        sequence: teacher-force each pair's whole answer and read all of it.

    Raises:
        ValueError: an empty set; a batch size below 1; prompts longer than the model's context; an id outside the
            vocabulary.
    """
    check_pairs(weights, pairs, sequence)
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is out of range; accepted: 1 and above")
    starts = _starts(pairs, share_prefix and weights.causal, sequence)
    lengths = [_length(pair, sequence) for pair in pairs]
    order = sorted(range(len(pairs)), key=lambda i: (lengths[i] - starts[i], starts[i]))
    limit, slots = batch_bytes(weights.device), []
    members: list[int] = []
    for i in order:
        width, length = lengths[i] - starts[i], max(lengths[j] for j in (*members, i))
        size = (len(members) + 1) * (_pair_bytes(weights, width, length) + pattern_bytes(weights, width, length))
        if members and (len(members) >= batch_size if batch_size else size > limit):
            slots.append(members)
            members = []
        members.append(i)
    return [Slots(tuple(some), tuple(starts[i] for i in some)) for some in (*slots, members)]


def largest_batch(weights: Weights, pairs: Pairs, share_prefix: bool, sequence: bool, batch_size: int | None) -> int:
    """Pairs in the largest batch; arguments as for :func:`batch_slots`."""
    return max(len(slots.members) for slots in batch_slots(weights, pairs, batch_size, share_prefix, sequence))


def batch_bytes(device: torch.device) -> int:
    """Memory that a batch's source outputs, keys, values and patterns may take: 256 MiB, on a GPU 4 GiB."""
    return (4 << 30) if device.type == "cuda" else (256 << 20)


def slots_bytes(weights: Weights, pairs: Pairs, slots: Slots, sequence: bool) -> int:
    """Memory of a batch's source outputs, keys and values."""
    lengths = [_length(pairs[i], sequence) for i in slots.members]
    width = max(length - start for length, start in zip(lengths, slots.starts, strict=True))
    return len(lengths) * _pair_bytes(weights, width, max(lengths))


def _pair_bytes(weights: Weights, width: int, length: int) -> int:
    """Source outputs of a suffix, keys and values of a whole prompt."""
    sources = width * len(weights.graph.sources) * weights.d_model * weights.stream_dtype.itemsize
    key_values = 2 * length * len(weights.blocks) * weights.n_stored_kv_heads * weights.d_head * weights.dtype.itemsize
    return sources + key_values


def pattern_bytes(weights: Weights, width: int, length: int) -> int:
    """All layers' attention patterns of a suffix in a prompt, which a tape keeps; beside source outputs they count
    where there are more tokens than d_model."""
    return len(weights.blocks) * weights.n_heads * width * length * weights.dtype.itemsize


def check_pairs(weights: Weights, pairs: Pairs, sequence: bool) -> None:
    """Raises ValueError for an empty set, a prompt too long for the model, or an id outside its vocabulary."""
    if not len(pairs):
        raise ValueError("the pair set is empty; at least one pair is needed")
    d_vocab = weights.embedding.shape[0]
    for pair in pairs:
        ids = pair.clean_ids + pair.corrupt_ids + (pair.answer_sequence_ids if sequence else ())
        outside = next((i for i in ids if not 0 <= i < d_vocab), None)
        if outside is not None:
            raise ValueError(f"pair {pair.label!r}: token id {outside} is outside the vocabulary 0..{d_vocab - 1}")
        if _length(pair, sequence) > weights.n_ctx:
            raise ValueError(
                f"pair {pair.label!r} has {_length(pair, sequence)} positions; the model reads at most {weights.n_ctx}"
            )


def _length(pair: Pair, sequence: bool) -> int:
    return len(pair) + (max(len(pair.answer_sequence_ids), 1) - 1 if sequence else 0)


def _starts(pairs: Pairs, share_prefix: bool, sequence: bool) -> list[int]:
    """Where each pair's suffix begins: 0 for all where a prefix pass would save too little."""
    starts = [min(pair.shared_prefix, pair.read_at) for pair in pairs]
    total = sum(_length(pair, sequence) for pair in pairs)
    if not share_prefix or total - sum(starts) > WORTH_A_PREFIX * total:
        return [0] * len(pairs)
    return starts


def frame_of(weights: Weights, pairs: Pairs, answers: Answers, slots: Slots, sequence: bool) -> Frame:
    """The batch of the given slots; ``answers`` are those of all pairs."""
    device, members, starts = weights.device, slots.members, slots.starts
    items = tuple(pairs[i] for i in members)
    batch = collate(items, 0, device, sequence)
    index, start = torch.tensor(members, device=device), torch.tensor(starts, device=device)
    width = int((batch.lengths - start).max())
    offset = torch.arange(width, device=device)
    position = torch.minimum(start[:, None] + offset, batch.lengths[:, None] - 1)
    attended = offset < (batch.lengths - start)[:, None]
    seen, key_position = _visible(weights, position, attended, start, max(starts))
    return Frame(
        index=index,
        clean=batch.clean.gather(1, position),
        corrupt=batch.corrupt.gather(1, position),
        position=position,
        attended=attended,
        read=batch.read - start[:, None],
        prefix=batch.clean[:, : max(starts)],
        start=start,
        visible=seen,
        bias=None if weights.alibi is None else weights.alibi.at(key_position),
        rotations={name: table.at(position) for name, table in weights.rotaries.items()},
        answers=answers[index],
        targets=batch.targets,
        target_mask=batch.target_mask,
    )


def _visible(
    weights: Weights, position: Tensor, attended: Tensor, start: Tensor, n_prefix: int
) -> tuple[dict[int | None, Tensor], Tensor]:
    """For each kind of attention in the model, bool [batch, pos, prefix + pos]; and the keys' positions, [batch,
    prefix + pos]."""
    batch, width = position.shape
    before = torch.arange(n_prefix, device=position.device).expand(batch, -1)
    offset = torch.arange(width, device=position.device)
    key_position = torch.cat([before, start[:, None] + offset], dim=1)
    key = key_position[:, None, :]
    query = (start[:, None] + offset)[:, :, None]
    present = torch.cat([before < start[:, None], attended], dim=1)[:, None, :]
    if weights.causal:
        seen = (key <= query) & torch.cat([before < start[:, None], torch.ones_like(attended)], dim=1)[:, None, :]
    else:
        seen = present.expand(-1, width, -1)
    windows = {block.attention.window for block in weights.blocks}
    return {w: seen if w is None else seen & (key > query - w) for w in windows}, key_position
