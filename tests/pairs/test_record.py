import json
from pathlib import Path

import pytest

from memcirc.pairs.batches import batches
from memcirc.pairs.record import Pair, Pairs, joined, load_pairs

PAIR = Pair((1, 2), (1, 3), (4,), (5,), doc_id="d", divergence=1, score_before=0.9, clean="ab", corrupt="ac")


class LetterTokenizer:
    """A token a letter: ``a`` is 1; the BOS token is 0."""

    bos_token_id = 0

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        return {"input_ids": [ord(c) - ord("a") + 1 for c in text]}


class LetterModel:
    tokenizer = LetterTokenizer()


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    pairs = Pairs((PAIR,), {"mode": "divergence", "bos": False}, {"no divergence point": 3})
    pairs.save(tmp_path / "pairs.json")
    assert load_pairs(tmp_path / "pairs.json") == pairs


def test_an_autocircuit_file_is_tokenized_once_and_the_bos_choice_recorded() -> None:
    content = {"prompts": [{"clean": "ab", "corrupt": "ac", "answers": ["d"], "wrong_answers": ["e"]}]}
    plain, with_bos = load_pairs(content, LetterModel()), load_pairs(content, LetterModel(), bos=True)
    assert (plain[0].clean_ids, plain[0].answer_ids, plain.header["bos"]) == ((1, 2), (4,), False)
    assert (with_bos[0].clean_ids, with_bos.header["bos"]) == ((0, 1, 2), True)


def test_ids_win_over_text() -> None:
    prompt = {
        "clean": "zz",
        "corrupt": "zz",
        "clean_ids": [1],
        "corrupt_ids": [2],
        "answer_ids": [3],
        "wrong_answer_ids": [4],
    }
    assert load_pairs({"prompts": [prompt]})[0].clean_ids == (1,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"prompts": []}, "the pair set is empty"),
        ({"pairs": []}, "no list 'prompts'"),
        (
            {"prompts": [{"clean": "ab", "corrupt": "abc", "answers": ["d"], "wrong_answers": ["e"]}]},
            "pair 0: pair 'ab': clean has 2 tokens and corrupt 3",
        ),
        (
            {"prompts": [{"clean": "ab", "corrupt": "ac", "answers": ["de"], "wrong_answers": ["e"]}]},
            "pair 0: answer 'de' is 2 tokens",
        ),
        ({"prompts": [{"clean": "ab", "corrupt": "ac", "answers": ["d"]}]}, "pair 0: no 'wrong_answers'"),
    ],
)
def test_bad_pairs_are_refused_by_number(content: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_pairs(content, LetterModel())


def test_text_without_a_tokenizer_is_refused() -> None:
    with pytest.raises(ValueError, match="a model with a tokenizer is needed"):
        load_pairs({"prompts": [{"clean": "a", "corrupt": "b", "answers": ["c"], "wrong_answers": ["d"]}]})


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file of pairs at .*none\.json"):
        load_pairs(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"prompts": [')
    with pytest.raises(ValueError, match=r"half\.json: not JSON"):
        load_pairs(tmp_path / "half.json")
    (tmp_path / "list.json").write_text(json.dumps([1]))
    with pytest.raises(ValueError, match="not a list"):
        load_pairs(tmp_path / "list.json")


def test_the_fingerprint_follows_the_ids() -> None:
    other = Pairs((Pair((1, 2), (1, 3), (4,), (6,)),))
    assert Pairs((PAIR,)).fingerprint == Pairs((Pair((1, 2), (1, 3), (4,), (5,)),)).fingerprint != other.fingerprint


def test_the_shared_prefix_ends_at_the_first_difference() -> None:
    assert PAIR.shared_prefix == 1
    assert Pair((1, 2), (1, 2), (3,), (4,)).shared_prefix == 2


def test_batches_pad_on_the_right_and_drop_no_pair() -> None:
    pairs = Pairs(tuple(Pair((1,) * n, (2,) * n, (3,), (4,)) for n in (3, 1, 2)))
    first, last = batches(pairs, 2)
    assert first.clean.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert first.attended.tolist() == [[True, True, True], [True, False, False]]
    assert (first.read.tolist(), last.read.tolist(), last.index.tolist()) == ([[2], [0]], [[1]], [2])


def test_a_whole_answer_is_teacher_forced_behind_both_prompts() -> None:
    pairs = Pairs((Pair((1, 1), (2, 2), (5,), (9,), (5, 6, 7)), Pair((1,), (2,), (5,), (9,), (5,))))
    (batch,) = batches(pairs, 4, sequence=True)
    assert batch.clean.tolist() == [[1, 1, 5, 6], [1, 0, 0, 0]]
    assert batch.corrupt.tolist() == [[2, 2, 5, 6], [2, 0, 0, 0]]
    assert batch.read.tolist() == [[1, 2, 3], [0, 0, 0]]
    assert batch.target_mask is not None
    assert batch.target_mask.tolist() == [[True, True, True], [True, False, False]]


def test_joined_sets_hold_all_pairs_and_no_split() -> None:
    first, second = Pairs((PAIR,), {"split": "train", "bos": False}), Pairs((PAIR, PAIR), {"split": "test"})
    assert joined(first, second) == Pairs((PAIR, PAIR, PAIR), {"bos": False})
