"""Do pairs contrast at all? Under resample an ablated edge carries what it carries in the pair's other prompt, so a
pair whose prompts are the same up to where its answer is read has nothing to attribute and nothing to keep. Nor has one
whose answers are its wrong ones, where the metric is their difference: it is 0 whatever is run."""

from memcirc.config import shortened
from memcirc.interventions import Ablation
from memcirc.pairs.record import Pair, Pairs


def check_contrast(pairs: Pairs, ablation: str, causal: bool = True) -> None:
    """Refuse pairs that do not contrast, where the ablation lives on a contrast.

    Args:
        causal: whether a position sees only what stands before it, so that a difference behind the answer's position
            does not reach it.

    Raises:
        ValueError: no set of pairs; prompts that agree under an ablation that needs a contrast: names the first such
            pair and how many there are.
    """
    if not isinstance(pairs, Pairs):
        raise ValueError(f"pairs are a Pairs, as load_pairs reads and Pairs(items) makes one, not {shortened(pairs)}")
    if not Ablation.parse(ablation).needs_contrast:
        return
    alike = [i for i, pair in enumerate(pairs) if not _contrasts(pair, causal)]
    if alike:
        first = pairs[alike[0]]
        where = "" if first.clean_ids == first.corrupt_ids else f" up to position {first.read_at}, where it is read"
        raise ValueError(
            f"{len(alike)} of {len(pairs)} pairs do not contrast: clean and corrupt of pair {alike[0]} "
            f"({first.doc_id or first.clean[-40:] or f'{len(first)} tokens'!r}) are the same{where}; "
            f"ablation {ablation!r} needs prompts that differ"
        )


def check_answers(pairs: Pairs, metric: str) -> None:
    """Raises ValueError for pairs whose answers are their wrong ones, where the metric is the difference of both; names
    the first and how many there are."""
    if not metric.endswith("_diff"):
        return
    alike = [i for i, pair in enumerate(pairs) if sorted(pair.answer_ids) == sorted(pair.wrong_answer_ids)]
    if alike:
        first = pairs[alike[0]]
        raise ValueError(
            f"{len(alike)} of {len(pairs)} pairs do not contrast: answers and wrong answers of pair {alike[0]} "
            f"({first.answers or first.answer_ids}) are the same, and {metric!r} is their difference"
        )


def _contrasts(pair: Pair, causal: bool) -> bool:
    return pair.shared_prefix <= pair.read_at if causal else pair.clean_ids != pair.corrupt_ids
