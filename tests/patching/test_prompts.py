"""Pairs as padded prompts: what is read where, by hand."""

import pytest

from memcirc.pairs.record import Pair, Pairs
from memcirc.patching.prompts import prompts_of
from tests.models import small_model

PAIRS = Pairs((Pair((1, 2, 3), (1, 4, 3), (5,), (6,), (5, 7)), Pair((8, 9), (8, 2), (5,), (6,), (6,))))


def test_answers_of_one_token_are_read_at_their_position() -> None:
    moved = Pairs((PAIRS[0], Pair((8, 9), (8, 2), (5,), (6,), position=0)))
    clean, corrupt = prompts_of(small_model("gpt2"), moved)
    assert clean.ids.tolist() == [[1, 2, 3], [8, 9, 0]]
    assert corrupt.ids.tolist() == [[1, 4, 3], [8, 2, 0]]
    assert clean.lengths.tolist() == [3, 2]
    assert clean.read.tolist() == [[2], [0]]
    assert clean.targets is None


def test_whole_answers_stand_behind_both_prompts() -> None:
    clean, corrupt = prompts_of(small_model("gpt2"), PAIRS, whole_answers=True)
    assert clean.ids.tolist() == [[1, 2, 3, 5], [8, 9, 0, 0]]
    assert corrupt.ids.tolist() == [[1, 4, 3, 5], [8, 2, 0, 0]]
    assert (clean.lengths.tolist(), clean.read.tolist()) == ([4, 2], [[2, 3], [1, 1]])
    assert clean.targets is not None
    assert clean.target_mask is not None
    assert clean.targets[clean.target_mask].tolist() == [5, 7, 6]
    second = clean.rows(slice(1, 2))
    assert (len(second), second.read.tolist()) == (1, [[1, 1]])


@pytest.mark.parametrize(
    ("pairs", "arch", "message"),
    [
        (Pairs(()), "gpt2", "the pair set is empty"),
        (Pairs((Pair((1,), (2,), (3,), (4,)),)), "gpt2", "pair 0 has no answer_sequence_ids"),
        (Pairs((Pair((1, 2), (2, 2), (3,), (4,), (5,), position=0),)), "gpt2", "pair 0 is read at position 0"),
        (Pairs((Pair((1,), (2,), (3,), (4,), (99,)),)), "gpt2", "token id 99 is outside the vocabulary 0..30"),
        (Pairs((Pair((1,) * 25, (2,) * 25, (3,), (4,), (5,)),)), "gpt2", "25 positions; the model reads at most 24"),
        (PAIRS, "bidirectional", "a bidirectional model sees padding"),
    ],
)
def test_pairs_that_cannot_be_read_are_refused(pairs: Pairs, arch: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prompts_of(small_model(arch), pairs, whole_answers=True)
