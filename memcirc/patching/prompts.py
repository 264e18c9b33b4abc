"""Prompts as a patched run reads them: token ids, right-padded, in one batch, and the positions that are read.

Padding stands on the right, where a causal model cannot see it. A bidirectional model would see it: its prompts must
be of one length.
"""

from dataclasses import dataclass

from jaxtyping import Bool, Int
from torch import Tensor

from memcirc.engine.frame import check_pairs
from memcirc.models import Model
from memcirc.pairs.batches import collate
from memcirc.pairs.record import Pairs


@dataclass(frozen=True, eq=False)
class Prompts:
    """Sequences with the positions whose logits are read, and what should follow there.

    ``targets`` are the tokens of a teacher-forced answer at those positions, ``target_mask`` False where an answer is
    shorter than the longest.
    """

    ids: Int[Tensor, "batch pos"]
    lengths: Int[Tensor, " batch"]
    read: Int[Tensor, "batch step"]
    targets: Int[Tensor, "batch step"] | None = None
    target_mask: Bool[Tensor, "batch step"] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, rows: slice) -> "Prompts":
        """Those of some examples."""
        targets = None if self.targets is None else self.targets[rows]
        mask = None if self.target_mask is None else self.target_mask[rows]
        return Prompts(self.ids[rows], self.lengths[rows], self.read[rows], targets, mask)


def prompts_of(model: Model, pairs: Pairs, whole_answers: bool = False) -> tuple[Prompts, Prompts]:
    """The clean and the corrupt prompts of pairs, on the model's device.

    Args:
        whole_answers: all but the last token of each pair's ``answer_sequence_ids`` stands behind both prompts, and
            every position that predicts one of them is read; else each pair's answer position.

    Raises:
        ValueError: no pair; an id outside the vocabulary; a sequence longer than the model's context; a pair without
            the whole answer, or one that is read within its prompt where whole answers are read behind it; prompts of
            several lengths for a model that would see the padding.
    """
    weights = model.weights
    check_pairs(weights, pairs, whole_answers)
    for i, pair in enumerate(pairs):
        if whole_answers and not pair.answer_sequence_ids:
            raise ValueError(f"pair {i} has no answer_sequence_ids, which metrics of whole answers read")
        if whole_answers and pair.read_at != len(pair) - 1:
            raise ValueError(
                f"pair {i} is read at position {pair.position}, and whole answers are read behind its {len(pair)} "
                "tokens"
            )
    batch = collate(pairs.items, 0, model.device, whole_answers)
    if not weights.causal and len(batch.lengths.unique()) > 1:
        raise ValueError("a bidirectional model sees padding; its prompts must all have the same length")
    shared = batch.lengths, batch.read, batch.targets, batch.target_mask
    return Prompts(batch.clean, *shared), Prompts(batch.corrupt, *shared)
