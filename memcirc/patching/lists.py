"""Pairs from lists: prompts and answers as ids, for whoever has no :class:`memcirc.Pairs`."""

from collections.abc import Sequence
from dataclasses import dataclass

from memcirc.ids import Ids, id_rows, plain_ids
from memcirc.metrics import SEQUENCE, Metric
from memcirc.pairs.record import Pair, Pairs


@dataclass(frozen=True, eq=False)
class Lists:
    """Clean and corrupt prompts [batch, pos] (or [pos] of a single one), an answer and a wrong answer of each, as
    :func:`memcirc.patch_sweep` takes them. ``read_at``: of each example the position whose logits predict the answer;
    ``alternatives``: several answers of an example are alternatives of one token each."""

    clean_ids: Ids
    corrupt_ids: Ids
    answer_ids: Ids
    wrong_answer_ids: Ids | None = None
    read_at: Ids | None = None
    alternatives: bool = False


def pairs_of(lists: Lists, metrics: Sequence[Metric]) -> Pairs:
    """The pairs that lists stand for; several answers of an example are one whole answer, unless they are alternatives.

    Raises:
        ValueError: lists of different length; prompts of unequal length; a metric that reads wrong answers where there
            are none, or one token where there are several.
    """
    clean, corrupt = _prompts(lists.clean_ids, "clean_ids"), _prompts(lists.corrupt_ids, "corrupt_ids")
    if len(clean) != len(corrupt):
        raise ValueError(f"there are {len(clean)} clean and {len(corrupt)} corrupt prompts; they go in pairs")
    whole = next((metric for metric in metrics if metric.reads == SEQUENCE), None)
    if whole and lists.alternatives:
        raise ValueError(f"metric {whole.name!r} reads a whole answer, and those given are alternatives of one token")
    single = next((metric for metric in metrics if metric.reads != SEQUENCE), None)
    only_one = "" if single is None or lists.alternatives else single.name
    answers = _answers(lists.answer_ids, len(clean), "answer", only_one)
    wrong = answers
    if lists.wrong_answer_ids is not None:
        wrong = _answers(lists.wrong_answer_ids, len(clean), "wrong answer", only_one)
    elif unanswered := next((metric for metric in metrics if metric.reads_wrong), None):
        raise ValueError(f"metric {unanswered.name!r} reads wrong answers; none were given")
    positions = _positions(lists.read_at, len(clean))
    rows = zip(clean, corrupt, answers, wrong, positions, strict=True)
    return Pairs(tuple(_pair(i, row, whole is not None) for i, row in enumerate(rows)))


def _pair(number: int, row: tuple[list[int], list[int], list[int], list[int], int | None], whole: bool) -> Pair:
    clean, corrupt, answer, wrong, position = row
    try:
        return Pair(
            tuple(clean), tuple(corrupt), tuple(answer[:1] if whole else answer), tuple(wrong[:1] if whole else wrong),
            tuple(answer) if whole else (), position=position,
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(f"example {number}: {error}") from None


def _prompts(ids: Ids, what: str) -> list[list[int]]:
    rows = id_rows(ids, what)
    if not rows or not all(rows):
        raise ValueError("there is no prompt, or an empty one; every prompt needs at least one token")
    return rows


def _answers(ids: Ids, n: int, what: str, only_one: str) -> list[list[int]]:
    """``n`` answers as lists of ids; of one token each where the metric ``only_one`` reads them."""
    rows = plain_ids(ids, f"{what}s")
    answers = [[row] if isinstance(row, int) else row for row in ([rows] if isinstance(rows, int) else rows)]
    if any(not isinstance(i, int) for answer in answers for i in answer):
        raise ValueError(f"{what}s: a token id or a list of them for each example is needed")
    if len(answers) != n:
        raise ValueError(f"there are {len(answers)} {what}s for {n} examples; each example has one")
    for i, answer in enumerate(answers):
        if only_one and len(answer) > 1:
            raise ValueError(
                f"example {i}: the {what} is {len(answer)} tokens, and {only_one!r} reads one; whole answers are read "
                "by sequence_logprob and exact_match, alternatives of one token with alternatives=True"
            )
    return answers


def _positions(read_at: Ids | None, n: int) -> Sequence[int | None]:
    if read_at is None:
        return [None] * n
    (positions,) = id_rows(read_at, "read_at")
    if len(positions) != n:
        raise ValueError(f"there are {len(positions)} positions to read for {n} examples; each example has one")
    return positions
