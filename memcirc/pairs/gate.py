"""The runtime gate: does the model, as the circuits will run it, still say what the pair claims?

Scores may come from another runtime, precision or BOS setting; a pair whose answer is no longer the model's argmax
behind the clean prompt (or whose wrong answer is not behind the corrupt one) is dropped and counted.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from memcirc.pairs.batches import batches
from memcirc.pairs.record import Pairs

Logits = Callable[[Tensor], Tensor]

CLEAN_REASON = "gate: answer is not the argmax behind the clean prompt"
CORRUPT_REASON = "gate: wrong answer is not the argmax behind the corrupt prompt"


def gate(pairs: Pairs, logits: Logits, batch_size: int = 64) -> Pairs:
    """The pairs that pass; the reasons of the others are added to ``dropped``.

    Args:
        logits: the runtime, int64 [batch, pos] (right-padded) -> float [batch, pos, d_vocab].
    """
    reasons: Counter[str] = Counter(pairs.dropped)
    kept = []
    for batch in batches(pairs, batch_size):
        rows = torch.arange(len(batch))
        last = batch.read[:, 0]
        clean, corrupt = (logits(ids).cpu()[rows, last].argmax(-1) for ids in (batch.clean, batch.corrupt))
        for index, said, said_corrupt in zip(batch.index.tolist(), clean.tolist(), corrupt.tolist(), strict=True):
            pair = pairs[index]
            if said not in pair.answer_ids:
                reasons[CLEAN_REASON] += 1
            elif said_corrupt not in pair.wrong_answer_ids:
                reasons[CORRUPT_REASON] += 1
            else:
                kept.append(pair)
    return replace(pairs, items=tuple(kept), dropped=dict(reasons))
