"""Pairs as rectangular tensors: right-padded ids and the positions whose logits a metric reads.

Padding stands on the right, where a causal model cannot see it, so a batch equals its members one by one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from memcirc.pairs.record import Pair, Pairs

PAD_ID = 0


@dataclass(frozen=True)
class PairBatch:
    """Several pairs, padded to the longest.

    ``index`` are the pairs' positions in the set they come from; ``read`` are the positions of the logits that
    predict the answer: the last one, or those of a whole teacher-forced answer (then ``targets`` holds its tokens and
    ``target_mask`` what is not padding).
    """

    index: Int[Tensor, " batch"]
    clean: Int[Tensor, "batch pos"]
    corrupt: Int[Tensor, "batch pos"]
    lengths: Int[Tensor, " batch"]
    read: Int[Tensor, "batch step"]
    targets: Int[Tensor, "batch step"] | None = None
    target_mask: Bool[Tensor, "batch step"] | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def attended(self) -> Bool[Tensor, "batch pos"]:
        """What is not padding."""
        return torch.arange(self.clean.shape[1], device=self.clean.device) < self.lengths[:, None]


def batches(
    pairs: Pairs, batch_size: int, device: torch.device | str = "cpu", sequence: bool = False
) -> Iterator[PairBatch]:
    """Yield the pairs in order, ``batch_size`` at a time; the last batch may be smaller, none is dropped.

    Args:
        sequence: append each pair's ``answer_sequence_ids`` (all but the last token) to both prompts and read every
            position that predicts one of them.
    """
    for start in range(0, len(pairs), batch_size):
        yield collate(pairs.items[start : start + batch_size], start, device, sequence)


def collate(items: tuple[Pair, ...], start: int, device: torch.device | str, sequence: bool) -> PairBatch:
    """One batch of the given pairs, the first of which has index ``start``."""
    index = torch.arange(start, start + len(items), device=device)
    if not sequence:
        lengths = torch.tensor([len(pair) for pair in items], device=device)
        return PairBatch(
            index=index,
            clean=_padded([pair.clean_ids for pair in items], device),
            corrupt=_padded([pair.corrupt_ids for pair in items], device),
            lengths=lengths,
            read=torch.tensor([[pair.read_at] for pair in items], device=device),
        )
    for pair in items:
        if not pair.answer_sequence_ids:
            raise ValueError(f"pair {pair.label!r} has no answer_sequence_ids, which a metric of whole answers reads")
    answers = [pair.answer_sequence_ids for pair in items]
    targets = _padded(answers, device)
    steps = torch.arange(targets.shape[1], device=device)
    target_mask = steps < torch.tensor([len(answer) for answer in answers], device=device)[:, None]
    prompt_lengths = torch.tensor([len(pair) for pair in items], device=device)
    lengths = prompt_lengths + target_mask.sum(1) - 1
    return PairBatch(
        index=index,
        clean=_padded([pair.clean_ids + pair.answer_sequence_ids[:-1] for pair in items], device),
        corrupt=_padded([pair.corrupt_ids + pair.answer_sequence_ids[:-1] for pair in items], device),
        lengths=lengths,
        read=torch.minimum(prompt_lengths[:, None] - 1 + steps, lengths[:, None] - 1),
        targets=targets,
        target_mask=target_mask,
    )


def _padded(rows: list[tuple[int, ...]], device: torch.device | str) -> Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([row + (PAD_ID,) * (width - len(row)) for row in rows], dtype=torch.int64, device=device)
