"""Pairs to browse: which of them, how much of their text, and what of it can act."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcirc.pairs.record import Pair
from memcirc.report.contrasts import MOST, SHOWN, Measured, PairBrowser, pair_browser, spread
from memcirc.report.redaction import Redaction


def pairs(n: int, text: str = "passage") -> list[dict[str, Any]]:
    return [
        {"clean": f"{text} {i} a", "corrupt": f"{text} {i} b", "answers": [" x"], "wrong_answers": [" y"], "copies": i}
        for i in range(n)
    ]


def ids(i: int) -> dict[str, list[int]]:
    return {"clean_ids": [1, i], "corrupt_ids": [2, i], "answer_ids": [3], "wrong_answer_ids": [4]}


def browser(prompts: list[dict[str, Any]], *budget: int) -> PairBrowser:
    made = pair_browser(prompts, *budget)
    assert made is not None
    return made


@given(st.integers(0, 300), st.integers(1, 100))
def test_a_few_lie_evenly_over_the_file(n: int, wanted: int) -> None:
    chosen = [pair["copies"] for pair in spread(pairs(n), wanted)]
    assert len(chosen) == len(set(chosen)) == min(n, wanted)
    steps = {b - a for a, b in pairwise(chosen)}
    assert not steps or max(steps) - min(steps) <= 1


def test_all_pairs_are_browsed_and_where_they_are_too_many_it_is_said() -> None:
    assert pair_browser(pairs(SHOWN)) is None
    assert (browser(pairs(MOST)).summary, browser(pairs(MOST)).note) == ("All 1,000 pairs, to search and to sort", "")
    many = browser(pairs(2 * MOST))
    assert many.summary == "1,000 of 2,000 pairs, to search and to sort"
    assert many.note
    assert [row["by"] for row in many.rows[:3]] == [[0], [2], [4]]


@given(st.text(min_size=1, max_size=300), st.integers(500, 50_000))
def test_their_text_stays_below_what_is_given(text: str, most: int) -> None:
    made = browser(pairs(50, text), most)
    assert len(made.data.encode()) <= most + 2 * len(made.rows) + 2
    assert made.n == 50


@given(st.text())
def test_their_text_ends_no_script_and_is_read_back_with_codes_for_what_acts_unseen(text: str) -> None:
    made = browser(pairs(7, text + "</script><!--\u202e"))
    assert not set(made.data) & set("<>&\u202e")
    row = json.loads(made.data)[3]
    assert row == made.rows[3]
    assert row["shared"].endswith("</script><!--\\u202e 3 ")
    assert (row["clean"], row["corrupt"], row["answer"], row["wrong_answer"]) == ("a", "b", " x", " y")


def test_they_are_sorted_by_what_they_have() -> None:
    given = pairs(8)
    given[0] |= {"copies": None, "lift": 0.5}
    made = browser(given)
    assert made.orders == ("copies in the training text", "nats a token that the model is better than its twin")
    assert [row["by"] for row in made.rows[:2]] == [[None, 0.5], [1, None]]


@pytest.mark.parametrize("redacted", [False, True])
def test_they_are_sorted_by_what_was_measured_of_each(redacted: bool) -> None:
    """A pair is known by its fingerprint, also where its ids are taken out."""
    given = [{**pair, **ids(i)} for i, pair in enumerate(pairs(8))]
    ratios = {Pair(**{name: tuple(value) for name, value in ids(i).items()}).fingerprint: i / 8 for i in (2, 5)}
    if redacted:
        redaction = Redaction.of([{"memcirc": {}, "prompts": given}])
        given = redaction.pairs({"memcirc": {}, "prompts": given})["prompts"]
        (row,) = redaction.verification({"distribution": [{"worst": [], "ratios": ratios}]})["distribution"]
        assert not set(row["ratios"]) & set(ratios)
        ratios = row["ratios"]
    made = pair_browser(given, measured=[Measured("kept", "it keeps {:.2f}", ratios)])
    assert made is not None
    assert made.orders == ("copies in the training text", "kept")
    assert [row["by"] for row in made.rows] == [[i, i / 8 if i in (2, 5) else None] for i in range(8)]
    told = {i: row["about"].rpartition(" · ")[2] for i, row in enumerate(made.rows)}
    assert (told[2], told[5], told[3]) == ("it keeps 0.25", "it keeps 0.62", "3 copies")
