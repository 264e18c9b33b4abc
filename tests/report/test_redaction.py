"""No passage is left, and what is left tells nothing but lengths and which texts are equal."""

import string
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcirc.report.contrasts import contrast
from memcirc.report.redaction import Redaction, runs_of_words, without_places

SECRET = "the heron waited by the second lock until dusk"
PAIR = {
    "clean": "the heron waited by the second lock", "corrupt": "the heron waited by the first door",
    "answers": [" until"], "wrong_answers": [" and"], "answer_sequence": " until dusk", "clean_ids": [1, 2, 3],
    "corrupt_ids": [1, 2, 4], "answer_ids": [5], "wrong_answer_ids": [6], "doc_id": "doc-7", "copies": 3,
    "divergence": 2,
}  # fmt: skip
CONTENT = {"memcirc": {"model": "m", "dropped": {"no answer": 2}}, "prompts": [PAIR]}
REDACTION = Redaction.of([CONTENT])
WORDS = st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=6), min_size=5, max_size=20).map(" ".join)


def everything(content: Any) -> str:
    if isinstance(content, Mapping):
        return "\n".join(f"{key}\n{everything(value)}" for key, value in content.items())
    return "\n".join(map(everything, content)) if isinstance(content, list | tuple) else str(content)


def test_a_pair_keeps_its_counts_and_no_text_and_no_ids() -> None:
    (pair,) = REDACTION.pairs(CONTENT)["prompts"]
    assert not [key for key in pair if key.endswith("_ids")]
    assert (pair["n_clean"], pair["copies"], pair["divergence"], pair["doc_id"]) == (3, 3, 2, "doc-7")
    assert not [word for word in ("heron", "until", "dusk", "door") if word in everything(pair)]
    assert pair["answers"] == [REDACTION.text(" until")]
    assert pair["clean"] == REDACTION.text("the heron waited by the ") + REDACTION.text("second lock")


def test_the_page_shows_what_both_prompts_share_as_one_mark() -> None:
    (pair,) = REDACTION.pairs(CONTENT)["prompts"]
    shown = contrast(pair)
    assert shown.shared == REDACTION.text("the heron waited by the ")
    assert (shown.clean, shown.corrupt) == (REDACTION.text("second lock"), REDACTION.text("first door"))
    same = {**PAIR, "corrupt": PAIR["clean"]}
    assert contrast(Redaction.of([CONTENT])._pair(same)).one_prompt


@given(passage=WORDS, before=st.sampled_from(["", "pair 'x' ", "not measured: "]))
def test_known_words_are_found_anywhere(passage: str, before: str) -> None:
    content = {"memcirc": {}, "prompts": [{**PAIR, "clean": passage}]}
    redaction = Redaction.of([content])
    walked = everything(redaction.anywhere({"refused": [before + passage], passage: {"note": passage.upper()}}))
    assert not set(runs_of_words(walked)) & set(runs_of_words(passage))


@given(st.text(min_size=1))
def test_a_mark_tells_length_and_equality_alone(passage: str) -> None:
    mark = REDACTION.text(passage)
    assert mark == REDACTION.text(passage) != REDACTION.text(passage + "x")
    assert mark.endswith(f", {len(passage)} characters›")
    other = Redaction.of([{**CONTENT, "prompts": [PAIR, PAIR]}])
    assert other.text(passage) != mark  # another key, so that a table of hashes is of no use


def test_nothing_stays_nothing_and_words_of_ours_stay() -> None:
    assert REDACTION.text("") == ""
    assert REDACTION.anywhere({"note": "the ends coincide at this size of circuit", "n": 3, "x": None}) == {
        "note": "the ends coincide at this size of circuit",
        "n": 3,
        "x": None,
    }


def test_the_worst_pairs_of_a_distribution_lose_their_text() -> None:
    worst = {"pair": 0, "doc_id": SECRET, "ends_with": "lock", "answer": "un", "ratio": 0.5}
    content = {"statement": {}, "distribution": [{"outside": 0.0, "worst": [worst]}], "refused": [f"pair {SECRET}"]}
    told = REDACTION.verification(content)
    (row,) = told["distribution"]
    assert row["worst"] == [
        {
            **worst,
            "doc_id": REDACTION.text(SECRET),
            "ends_with": REDACTION.text("lock"),
            "answer": REDACTION.text("un"),
        }
    ]
    assert told["refused"] == [REDACTION.text(f"pair {SECRET}")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/someone/models/neo", "neo"),
        ("/home/some one/models/neo", "neo"),
        ("~/models/neo", "neo"),
        (r"C:\Users\someone\neo", "neo"),
        ("cut off: /home/someone/neo/model.safetensors after 3 bytes", "cut off: model.safetensors after 3 bytes"),
        ("--dataset=/data/private/corpus.jsonl", "--dataset=corpus.jsonl"),
        ("EleutherAI/gpt-neo-125m", "EleutherAI/gpt-neo-125m"),
        ("runs/cache/model", "runs/cache/model"),
        ("https://host.org/a/b", "https://host.org/a/b"),
        ("a/b and 3/4", "a/b and 3/4"),
        ("/", "/"),
    ],
)
def test_places_of_a_machine_are_their_last_parts(text: str, expected: str) -> None:
    assert without_places({"x": [text, 3]}) == {"x": [expected, 3]}
