"""Lists as pairs, by hand; a mistake names its example."""

import pytest
import torch

from memcirc.metrics import WITH_TOKENS, Metric
from memcirc.pairs.record import Pair
from memcirc.patching.lists import Lists, pairs_of


def parsed(*names: str) -> list[Metric]:
    return [Metric.parse(name, WITH_TOKENS) for name in names]


def test_one_token_an_example() -> None:
    lists = Lists(torch.tensor([[1, 2], [3, 4]]), [[1, 5], [3, 6]], torch.tensor([7, 8]), [9, 10], read_at=[0, 1])
    first = Pair((1, 2), (1, 5), (7,), (9,), position=0)
    assert pairs_of(lists, parsed("logit_diff")).items == (first, Pair((3, 4), (3, 6), (8,), (10,), position=1))


def test_a_single_prompt_needs_no_list_of_prompts() -> None:
    assert pairs_of(Lists([1, 2], [1, 5], [7]), parsed("kl")).items == (Pair((1, 2), (1, 5), (7,), (7,)),)


def test_whole_answers_keep_their_first_token_as_the_answer_at_the_end_of_the_prompt() -> None:
    pairs = pairs_of(Lists([[1, 2]], [[1, 5]], [[7, 8, 9]], [[4, 4]]), parsed("sequence_logprob", "exact_match"))
    assert pairs.items == (Pair((1, 2), (1, 5), (7,), (4,), (7, 8, 9)),)


def test_alternatives_are_answers_side_by_side() -> None:
    lists = Lists([[1, 2], [1, 3]], [[1, 5], [1, 4]], [[7, 8], [9]], [[6], [4, 5]], alternatives=True)
    pairs = pairs_of(lists, parsed("logit_diff"))
    assert [(p.answer_ids, p.wrong_answer_ids) for p in pairs] == [((7, 8), (6,)), ((9,), (4, 5))]


@pytest.mark.parametrize(
    ("lists", "metrics", "message"),
    [
        (Lists([[1]], [[1], [2]], [1]), ("kl",), "there are 1 clean and 2 corrupt prompts; they go in pairs"),
        (Lists([[1], [2]], [[1], [2]], [1]), ("kl",), "there are 1 answers for 2 examples; each example has one"),
        (Lists([[1]], [[1]], [1]), ("kl", "prob_diff"), "metric 'prob_diff' reads wrong answers; none were given"),
        (Lists([[1]], [[1]], [[1, 2]]), ("kl", "exact_match"), "example 0: the answer is 2 tokens, and 'kl' reads one"),
        (Lists([[1]], [[1]], [1], [[1, 2]]), ("logit_diff",), "example 0: the wrong answer is 2 tokens"),
        (Lists([[1], [2]], [[1], [2]], [[1], []]), ("kl",), "example 1: pair '1 tokens': needs at least one answer"),
        (Lists([[1]], [[1]], [[[1]]]), ("kl",), "answers: a token id or a list of them for each example is needed"),
        (Lists([[1]], [[1]], [[1]], alternatives=True), ("exact_match",), "those given are alternatives of one token"),
        (Lists([[1, 2]], [[1, -2]], [1]), ("kl",), "example 0: corrupt_ids: a flat list of token ids from 0"),
        (Lists([[1], []], [[1], []], [1, 2]), ("kl",), "there is no prompt, or an empty one"),
    ],
)
def test_a_mistake_is_refused(lists: Lists, metrics: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pairs_of(lists, parsed(*metrics))
