"""Samples from a file, and as pairs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from memcirc.models import load_model
from memcirc.pairs.record import Pair
from memcirc.small_models import word_tokenizer
from memcirc.studies.pii.corpus import DECOYS, PIECES, every_piece, make_corpus
from memcirc.studies.pii.samples import Sample, known_to_both, of_file, pairs_of, tokens_of

ONE, TWO = Sample("a b", " c d", (1, 2), (3, 4)), Sample("a", " d", (1,), (4,))


def test_two_models_read_one_prompt_and_the_whole_answer() -> None:
    assert pairs_of([ONE, TWO]).items == (
        Pair((1, 2), (1, 2), (3,), (3,), (3, 4), doc_id="a b"), Pair((1,), (1,), (4,), (4,), (4,), doc_id="a")
    )  # fmt: skip


def test_pairs_say_their_copies_and_the_kind_of_their_value() -> None:
    (found,) = pairs_of([Sample("a", " d", (1,), (4,), kind="id", copies=3)])
    assert (found.subset, found.copies) == ("id", 3)


def test_what_both_models_know_is_decoys_and_as_many_neutral_documents(pair: Path) -> None:
    corpus, model = make_corpus(0), load_model(str(pair / "target"), device="cpu")
    model = replace(model, tokenizer=word_tokenizer([*corpus.texts, *every_piece()], PIECES))
    known = known_to_both(corpus, model)
    assert [s.label + "." for s in known["decoys"]] == [record.document for record in corpus.decoys]
    assert [s.label for s in known["neutral documents"]] == list(corpus.background[:DECOYS])
    for sample in known["neutral documents"]:
        assert abs(len(sample.prompt.split()) - len(sample.answer.split())) <= 1


def test_every_token_of_an_answer_is_read_behind_those_before_it() -> None:
    assert [(p.clean_ids, p.answer_ids) for p in tokens_of([ONE, TWO])] == [
        ((1, 2), (3,)), ((1, 2, 3), (4,)), ((1,), (4,))
    ]  # fmt: skip
    assert ONE.label == "a b c d"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"memorized": "false"}, "sample 0: 'memorized' is 'false'; true or false is needed"),
        ({"copies": "3"}, "sample 0: 'copies' is '3'; a whole number is needed"),
        ({"copies": True}, "sample 0: 'copies' is True; a whole number is needed"),
        ({"type": 3}, "sample 0: 'type' is 3; text is needed"),
        ({"prompt": ["one"]}, "sample 0 has no 'prompt'"),
        ({"answer": "one"}, "sample 0: answer 'one' changes the tokens of the prompt it follows"),
        ({"prompt": " one \ud83d"}, "sample 0: text has half a character"),
    ],
)
def test_a_sample_of_another_type_is_refused(
    change: dict[str, object], message: str, pair: Path, tmp_path: Path
) -> None:
    sample = {"prompt": " one two", "answer": " three", "copies": None, "memorized": None}
    path = tmp_path / "samples.json"
    path.write_text(json.dumps([sample]), encoding="utf-8")
    model = load_model(str(pair / "target"), device="cpu")
    assert of_file(path, model)[0].injected
    path.write_text(json.dumps([sample | change]), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        of_file(path, model)
