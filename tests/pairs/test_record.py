import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from memcirc.interop.compatibility import provide_moved_names
from memcirc.pairs.batches import batches
from memcirc.pairs.file import load_pairs
from memcirc.pairs.record import Pair, Pairs, joined

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
        ({"pairs": []}, r'a file of pairs is \{"prompts": \[\{"clean":'),
        ({"prompts": ["x"]}, "pair 0: an object is needed, not 'x'"),
        ({"prompts": [None]}, "pair 0: an object is needed, not None"),
        ({"prompts": "ab"}, "no list 'prompts'"),
        ({"prompts": [{}], "memcirc": "x"}, "'memcirc' is an object"),
        ({"prompts": [{}], "memcirc": {"dropped": 3}}, "'memcirc' is an object"),
        ({"prompts": [{"clean": "ab", "corrupt": "ac", "answers": ["d"]}]}, "pair 0: no 'wrong_answers'"),
    ],
)
def test_bad_pairs_are_refused_by_number(content: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_pairs(content, LetterModel())


IDS = {"clean_ids": [1, 2], "corrupt_ids": [1, 3], "answer_ids": [4], "wrong_answer_ids": [5]}
TEXT = {"clean": "ab", "corrupt": "ac", "answers": ["d"], "wrong_answers": ["e"]}


def test_an_answer_alone_is_the_only_alternative() -> None:
    expected = load_pairs({"prompts": [TEXT]}, LetterModel())
    alone = load_pairs({"prompts": [TEXT | {"answers": "d", "wrong_answers": "e"}]}, LetterModel())
    assert (alone, alone[0].answers, alone[0].answer_ids) == (expected, ("d",), (4,))
    assert load_pairs({"prompts": [IDS | {"answer_ids": 4}]})[0].answer_ids == (4,)
    with pytest.raises(ValueError, match="pair 0: answer 'de' is 2 tokens"):
        load_pairs({"prompts": [TEXT | {"answers": "de"}]}, LetterModel())


WRONG = {
    "clean_ids": ["12", 5, [5.0], [5.5], [True], [-1], ["1"], [[1, 2]], {"a": 1}],
    "corrupt_ids": ["12", 5, [5.0, 1], [1, None]],
    "answer_ids": ["4", [4.0], True, [True], -4, [[4]], 4.0],
    "wrong_answer_ids": ["5", [5.5], [-5], False],
    "answer_sequence_ids": ["45", 4, [4.0], [[4]], [-1]],
    "clean": [5, ["a", "b"], 1.5, "cut \ud83d", True],
    "corrupt": [{"a": 1}, ["a"]],
    "answers": [[1], 5, {"a": 1}, ["a", 2], ["\ud83d"]],
    "wrong_answers": [[None], 5.5],
    "answer_sequence": [["a"], 3],
    "doc_id": [17, ["a"], True],
    "corrupt_doc_id": [0],
    "subset": [["a"], 3],
    "family": [3],
    "taxonomy": [1.0],
    "copies": ["3", 3.5, True, -1],
    "divergence": ["1", 1.0, False, -1, [1]],
    "position": ["1", 1.0, True, -1, 2],
    "score_before": ["0.9", True, [0.9]],
    "score_after": ["high"],
    "similarity": ["0.5", {}],
    "induction": [[]],
    "prior_lift": ["x"],
    "lift": ["x"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_field_of_another_type_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(
        ValueError, match=f"^pair 1: .*{name.removesuffix('_ids')[:7]}|^pair 1: text has half a character"
    ) as raised:
        load_pairs({"prompts": [IDS, IDS | {name: value}]})
    assert "\n" not in str(raised.value)
    with pytest.raises((ValueError, TypeError)):
        Pair(**{key: tuple(ids) for key, ids in IDS.items()} | {name: value})


@pytest.mark.parametrize("name", [*IDS, "answer_sequence_ids", "answers", "wrong_answers"])
def test_text_in_place_of_a_list_is_never_read_by_character(name: str) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        Pair(**{key: tuple(ids) for key, ids in IDS.items()} | {name: "12"})


def test_every_field_has_its_wrong_types_here() -> None:
    assert set(WRONG) == {f.name for f in fields(Pair)}


@pytest.mark.parametrize("items", ["ab", ("a",), PAIR, [1], {"prompts": []}])
def test_a_set_of_pairs_holds_pairs(items: object) -> None:
    with pytest.raises((ValueError, TypeError), match=r"a list of pairs is needed|items"):
        Pairs(items)


def test_nothing_said_is_nothing_there() -> None:
    assert load_pairs({"prompts": [IDS | {"doc_id": None, "copies": None, "similarity": 1}]})[0].similarity == 1.0


def test_autocircuits_files_in_ids_are_read_as_its_loader_does(tmp_path: Path) -> None:
    content = [
        {"clean": [1, 2, 3], "corrupt": [1, 2, 4], "answers": [5, 6, 7], "wrong_answers": [8]},
        {"clean": [3, 2, 3], "corrupt": [3, 2, 4], "answers": [5], "wrong_answers": [8, 9]},
    ]
    path = tmp_path / "ids.json"
    path.write_text(json.dumps({"prompts": content, "seq_labels": ["a", "b", "c"]}), encoding="utf-8")
    for pairs in (load_pairs(path), load_pairs(path, LetterModel(), bos=True)):
        assert [(p.clean_ids, p.corrupt_ids, p.answer_ids, p.wrong_answer_ids) for p in pairs] == [
            tuple(tuple(prompt[name]) for name in TEXT) for prompt in content
        ]
        assert "bos" not in pairs.header
    provide_moved_names()
    from auto_circuit.data import load_datasets_from_json

    train, _ = load_datasets_from_json(
        None, path, torch.device("cpu"), prepend_bos=False, batch_size=1, train_test_size=(2, 0), shuffle=False
    )
    for theirs, ours in zip(train.dataset, load_pairs(path), strict=True):
        assert tuple(theirs.clean.tolist()) == ours.clean_ids
        assert tuple(theirs.answers.tolist()) == ours.answer_ids


@pytest.mark.parametrize("mixed", [{"clean": [1, 2]}, {"clean_ids": [1, 2]}])
def test_an_answer_of_text_needs_its_prompt_as_text(mixed: dict[str, list[int]]) -> None:
    with pytest.raises(ValueError, match="pair 0: 'answers' is text, and the prompt it follows has ids"):
        load_pairs({"prompts": [TEXT | mixed]}, LetterModel())


def test_answers_in_ids_stand_behind_prompts_of_text() -> None:
    pair = load_pairs({"prompts": [TEXT | {"answers": [9, 8]}]}, LetterModel())[0]
    assert (pair.clean_ids, pair.answer_ids) == ((1, 2), (9, 8))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_is_utf8_with_a_mark_or_without(mark: bytes, tmp_path: Path) -> None:
    (tmp_path / "pairs.json").write_bytes(
        mark + json.dumps({"prompts": [IDS | {"clean": "Zoë"}]}, ensure_ascii=False).encode()
    )
    assert load_pairs(tmp_path / "pairs.json")[0].clean == "Zoë"
    (tmp_path / "latin.json").write_bytes('{"prompts": "Zoë"}'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.json: not JSON"):
        load_pairs(tmp_path / "latin.json")


def test_pairs_are_chosen_by_their_fields() -> None:
    pairs = Pairs(
        tuple(replace(PAIR, subset=s, copies=n) for s, n in (("a", 1), ("b", None), ("c", 9))), {"bos": False}
    )
    assert pairs.where(subset="a") == Pairs(pairs.items[:1], {"bos": False})
    assert pairs.where(subset={"a", "c"}).items == pairs.where(subset=["c", "a"]).items == pairs.items[::2]
    assert pairs.where(copies=lambda n: n is not None and n > 3, subset="c").items == pairs.items[2:]
    assert pairs.where(clean_ids=(1, 2), copies=None).items == pairs.items[1:2]
    assert len(pairs.where(subset="d")) == 0
    with pytest.raises(ValueError, match="pairs have no field 'subsets'; they have clean_ids, "):
        pairs.where(subsets="a")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"subset": 3}, "subset is 3; text is needed"),
        ({"subset": ("a", "b")}, "text is needed"),
        ({"copies": "1"}, "copies is '1'; a whole number is needed"),
        ({"clean_ids": [1, 2]}, "clean_ids is the number 1; a list of token ids is needed"),
    ],
)
def test_a_value_that_a_field_never_has_is_no_empty_choice(wanted: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pairs((PAIR,)).where(**wanted)


def test_ids_are_chosen_in_any_form() -> None:
    pairs = Pairs((PAIR,))
    for wanted in ([(1, 2)], [[1, 2]], np.array([1, 2]), (1, 2)):
        assert pairs.where(clean_ids=wanted).items == (PAIR,)


def test_many_pairs_are_one_line() -> None:
    pairs = Pairs((PAIR,) * 1000, {"mode": "divergence", "bos": False, "model": "m" * 500}, {"same pair twice": 3})
    assert repr(pairs).startswith("Pairs(1000 pairs, mode='divergence', bos=False, model='mmm")
    assert len(repr(pairs)) < 200
    assert repr(Pairs((PAIR,), {}, {"a": 1, "b": 2})) == "Pairs(1 pairs, dropped=3)"


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


@pytest.mark.parametrize("missing", ["answer_ids", "wrong_answer_ids"])
def test_a_pair_without_one_of_its_answers_is_refused(missing: str) -> None:
    with pytest.raises(ValueError, match="pair 'd': needs at least one answer and one wrong answer"):
        replace(PAIR, **{missing: ()})


@pytest.mark.parametrize("ids", [{"clean_ids": ()}, {"clean_ids": (), "corrupt_ids": ()}, {"corrupt_ids": (1,)}])
def test_prompts_of_a_pair_are_of_one_length_and_not_empty(ids: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="both need the same number, at least one"):
        replace(PAIR, **ids)


def test_an_answer_is_read_behind_the_last_token_or_at_a_position_within_the_prompt() -> None:
    assert (PAIR.read_at, replace(PAIR, position=0).read_at, replace(PAIR, position=1).read_at) == (1, 0, 1)
    with pytest.raises(ValueError, match="position 2 is outside its 2 tokens"):
        replace(PAIR, position=2)


def unrelated(n: int) -> Pairs:
    return Pairs(tuple(Pair((i, 1), (i, 2), (3,), (4,), doc_id=f"d{i}") for i in range(n)), {"mode": "x"})


def test_a_split_is_by_seed_0_in_halves_and_quarters_unless_told_otherwise() -> None:
    pairs = unrelated(40)
    usual = pairs.split()
    assert usual == pairs.split((0.5, 0.25, 0.25), seed=0)
    assert [len(part) for part in usual] == [20, 10, 10]
    assert pairs.split(seed=1) != usual
    assert [part.header for part in usual] == [{"mode": "x", "split": name} for name in ("train", "validation", "test")]
    assert sorted(pair.doc_id for part in usual for pair in part) == sorted(pair.doc_id for pair in pairs)


def test_three_unrelated_groups_are_enough_for_a_split_and_two_are_not() -> None:
    assert [len(part) for part in unrelated(3).split()] == [1, 1, 1]
    with pytest.raises(ValueError, match=r"2 pairs form 2 unrelated group\(s\); train, validation and test need at"):
        unrelated(2).split()


def test_pairs_that_share_a_document_a_prompt_a_family_or_a_context_are_of_one_group() -> None:
    a = Pair((1, 2), (1, 3), (4,), (5,), doc_id="a")
    related = [
        Pair((7, 2), (7, 3), (4,), (5,), corrupt_doc_id="a"),
        Pair((8, 2), (1, 2), (4,), (5,)),
    ]
    for other in related:
        assert Pairs((a, other)).components() == [[0, 1]]
    apart = Pair((9, 2), (9, 3), (4,), (5,), doc_id="b")
    assert Pairs((a, apart)).components() == [[0], [1]]
    assert Pairs((replace(a, family="f"), replace(apart, family="f"))).components() == [[0, 1]]
    context = (replace(a, divergence=1), replace(apart, clean_ids=(1, 9), corrupt_ids=(1, 8), divergence=1))
    assert Pairs(context).components() == [[0, 1]]
    assert Pairs((context[0], replace(context[1], divergence=None))).components() == [[0], [1]]


def test_a_fingerprint_is_of_every_token_the_position_and_the_whole_answer() -> None:
    whole = Pairs((replace(PAIR, position=0, answer_sequence_ids=(4, 6)), PAIR))
    changed = [
        Pairs(whole.items[::-1]), whole[:1], Pairs((replace(whole[0], position=1), PAIR)),
        Pairs((replace(whole[0], answer_sequence_ids=(4, 7)), PAIR)), Pairs((whole[0], replace(PAIR, answer_ids=(6,)))),
        Pairs((whole[0], replace(PAIR, corrupt_ids=(1, 6)))), Pairs((whole[0], replace(PAIR, wrong_answer_ids=(6,)))),
    ]  # fmt: skip
    assert len({whole.fingerprint, *(pairs.fingerprint for pairs in changed)}) == 8
    assert Pairs((whole[0], replace(PAIR, doc_id="e"))).fingerprint == whole.fingerprint
    assert len(whole.fingerprint) == 16


def test_joined_pairs_have_the_first_ones_header_without_its_split() -> None:
    first, *rest = unrelated(6).split()
    both = joined(first, *rest)
    assert both.header == {"mode": "x"}
    assert both.items == tuple(pair for part in (first, *rest) for pair in part)
    assert joined(Pairs((PAIR,))).header == {}


def test_pairs_are_told_in_short_with_what_was_dropped() -> None:
    assert repr(Pairs((PAIR,), {"mode": "x"}, {"a": 2, "b": 3})) == "Pairs(1 pairs, mode='x', dropped=5)"
    assert repr(Pairs((PAIR, PAIR))) == "Pairs(2 pairs)"


def test_messages_call_a_pair_by_its_document_its_text_or_its_length() -> None:
    plain = Pair((1, 2), (3, 4), (5,), (6,))
    assert plain.label == "2 tokens"
    assert replace(plain, clean="a text").label == "a text"
    long = replace(plain, clean="a text", doc_id="d" * 100).label
    assert (len(long), long[-4:]) == (40, "d...")
