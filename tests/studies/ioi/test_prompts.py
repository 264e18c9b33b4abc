"""Pairs of prompts that differ in the giver alone."""

from pathlib import Path

import pytest

from memcirc.models import load_model
from memcirc.pairs.tokenizing import answer_id, prompt_ids
from memcirc.studies.ioi.prompts import ROLES, drawn, words_for
from tests.models import llama_style_tokenizer


def test_prompts_of_a_pair_differ_in_the_giver_alone(finished: Path) -> None:
    tokenizer = load_model(str(finished / "model"), device="cpu").tokenizer
    for pair in drawn(words_for(tokenizer), 10, 0):
        clean, corrupt = prompt_ids(tokenizer, pair.clean), prompt_ids(tokenizer, pair.corrupt)
        assert len(clean) == len(corrupt) == len(ROLES)
        assert [i for i, (a, b) in enumerate(zip(clean, corrupt, strict=True)) if a != b] == [ROLES.index("giver")]
        assert clean[10] == answer_id(tokenizer, pair.corrupt, pair.wrong)
        assert corrupt[10] == answer_id(tokenizer, pair.clean, pair.answer)
    with pytest.raises(ValueError, match="' Rose Carl' is 2 tokens; one is needed"):
        answer_id(tokenizer, "After", " Rose Carl")


def test_the_indirect_object_is_named_first_and_second_in_turn(finished: Path) -> None:
    words = words_for(load_model(str(finished / "model"), device="cpu").tokenizer)
    for i, pair in enumerate(drawn(words, 4, 3)):
        named = pair.clean.split()[1], pair.clean.split()[3]
        assert named[i % 2] == pair.answer.strip()
        assert named[1 - i % 2] == pair.wrong.strip()
    assert drawn(words, 4, 3) == drawn(words, 4, 3) != drawn(words, 4, 4)


def test_a_tokenizer_that_breaks_names_apart_is_refused() -> None:
    with pytest.raises(ValueError, match=r"this tokenizer keeps 1 of Adam, Alice, Anna, \.\.\. in one token; 2 are"):
        words_for(llama_style_tokenizer(["Adam", "to", "the", "After"]))
