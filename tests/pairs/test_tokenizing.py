"""Answers are tokens behind their prompt, also where the same text alone is more (SentencePiece)."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from transformers import PreTrainedTokenizerFast

from memcirc.pairs.file import load_pairs
from memcirc.pairs.tokenizing import answer_id, answer_ids, is_one_token, prompt_ids
from memcirc.studies.ioi import prompts as ioi
from memcirc.studies.ioi.study import encoded
from memcirc.studies.pii.samples import _encoded as sample
from tests.models import llama_style_tokenizer, small_model

WORDS = [*ioi.NAMES, *ioi.OPENINGS, *ioi.PLACES, *ioi.ACTS, *ioi.OBJECTS, *" ".join(ioi.WALKS).split(), "and", "the"]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return llama_style_tokenizer(["Rose", "gave", "it", "to", "Mary", *WORDS])


def texts(tokenizer: PreTrainedTokenizerFast, ids: tuple[int, ...]) -> list[str]:
    return tokenizer.convert_ids_to_tokens(list(ids))


def test_an_answer_is_what_it_is_behind_its_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer(" Mary", add_special_tokens=False)["input_ids"]) == 2
    assert texts(tokenizer, answer_ids(tokenizer, "Rose gave it to", " Mary")) == ["▁Mary"]
    assert texts(tokenizer, answer_ids(tokenizer, "Rose gave it to", " Mary to")) == ["▁Mary", "▁to"]
    assert texts(tokenizer, (answer_id(tokenizer, "Rose gave it to", " Mary"),)) == ["▁Mary"]
    assert is_one_token(tokenizer, "Rose", " Mary")
    assert not is_one_token(tokenizer, "Rose", " unheard")


@pytest.mark.parametrize(
    ("prompt", "answer", "message"),
    [
        ("Rose gave it to ", "Mary", "changes the tokens of the prompt it follows, which ends in"),
        ("Rose gave it to", " Mary to", "is 2 tokens; one is needed"),
        ("Rose gave it to", "", "is no token behind its prompt"),
        ("Rose \ud83d", " Mary", r"text has half a character at position 5 \(a lone surrogate, '\\ud83d'\)"),
    ],
)
def test_an_answer_that_is_not_one_token_there_is_refused(
    prompt: str, answer: str, message: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        answer_id(tokenizer, prompt, answer)
    assert "\n" not in str(raised.value)


def test_bos_stands_before_prompts_where_it_is_asked_and_is_there(tokenizer: PreTrainedTokenizerFast) -> None:
    bos, plain = tokenizer.bos_token_id, prompt_ids(tokenizer, "Rose", bos=False)
    assert prompt_ids(tokenizer, "Rose") == prompt_ids(tokenizer, "Rose", bos=True) == (bos, *plain)
    without = llama_style_tokenizer(["Rose"], bos=False)
    assert prompt_ids(without, "Rose") == prompt_ids(without, "Rose", bos=False)
    with pytest.raises(ValueError, match="no BOS token"):
        prompt_ids(without, "Rose", bos=True)


def test_pairs_prompts_and_samples_read_answers_alike(tokenizer: PreTrainedTokenizerFast) -> None:
    model = replace(small_model("gpt2"), tokenizer=tokenizer)
    content = {"clean": "Rose gave it to", "corrupt": "Mary gave it to", "answers": [" Mary"], "wrong_answers": " Rose"}
    (pair,) = load_pairs({"prompts": [content]}, model)
    assert texts(tokenizer, pair.answer_ids + pair.wrong_answer_ids) == ["▁Mary", "▁Rose"]
    assert texts(tokenizer, sample(model, "Rose gave it to", " Mary to").answer_ids) == ["▁Mary", "▁to"]
    words = ioi.words_for(tokenizer)
    assert words == ioi.Words()
    pairs = encoded(model, ioi.drawn(words, 4, 0))
    assert {len(ids) for pair in pairs for ids in (pair.clean_ids, pair.corrupt_ids)} == {len(ioi.ROLES)}
    answers = [answer for pair in pairs for answer in (*pair.answer_ids, *pair.wrong_answer_ids)]
    assert all(name.startswith("▁") for name in texts(tokenizer, tuple(answers)))


def test_bos_of_a_tokenizer_without_one_is_one_line() -> None:
    model = SimpleNamespace(tokenizer=llama_style_tokenizer(["a", "b"], bos=False))
    content = {"clean": "a", "corrupt": "b", "answers": [" a"], "wrong_answers": [" b"]}
    with pytest.raises(ValueError, match="pair 0: BOS is asked for, and this tokenizer has no BOS token"):
        load_pairs({"prompts": [content]}, model, bos=True)
