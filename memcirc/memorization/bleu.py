"""Token-level BLEU-4 with add-one smoothing on every order.

    p_k = (matches_k + 1) / (possible_k + 1),    BLEU = brevity * (p_1 p_2 p_3 p_4)^(1/4)

NLTK's ``method2`` leaves unigrams alone, returns 0 without a common unigram, and pretends one n-gram was possible in a
sequence too short for it; here every order is smoothed, and an order of which no n-gram is possible has p_k = 1.
"""

from collections.abc import Sequence
from typing import Any

from nltk.translate.bleu_score import brevity_penalty, sentence_bleu

_ORDERS = (1, 2, 3, 4)


def bleu4(truth: Sequence[int], candidate: Sequence[int]) -> float:
    """BLEU-4 of one token sequence against one reference, in 0..1; 1 for equal sequences, never 0 otherwise.

    Raises:
        ValueError: one of the sequences is empty.
    """
    if not truth or not candidate:
        raise ValueError(f"BLEU of {len(candidate)} tokens against {len(truth)}: both need at least one token")
    truth, candidate = list(truth), list(candidate)
    if not set(truth) & set(candidate):
        score = brevity_penalty(len(truth), len(candidate))
        for order in _ORDERS:
            score *= (1 / (_possible(candidate, order) + 1)) ** 0.25
        return float(score)
    return float(sentence_bleu([truth], candidate, smoothing_function=_add_one))


def _possible(candidate: Sequence[int], order: int) -> int:
    return max(0, len(candidate) - order + 1)


def _add_one(precisions: Sequence[Any], hypothesis: Sequence[int], **_: Any) -> list[float]:
    """NLTK's smoothing hook: the modified precisions of all orders in, the smoothed ones out."""
    return [
        (precision.numerator + 1) / (_possible(hypothesis, order) + 1)
        for order, precision in zip(_ORDERS, precisions, strict=True)
    ]
