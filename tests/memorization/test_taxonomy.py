import pytest

from memcirc.memorization.taxonomy import OFTEN, PATTERNS, kind, pattern

PROSE = "The court held that the appellant had no standing, and in 1987 two of its 9 judges said so in dissent."
DISTINCT = tuple(range(30))
EXAMPLES = {
    "number sequence": "12 13 14 15 16 17 18 19 20 21 22",
    "increment": "row_1 = f(x)\nrow_2 = f(x)\nrow_3 = f(x)\nrow_4 = f(x)\nrow_5 = f(x)\n",
    "one-character run": "Title\n==========================\n",
    "licence boilerplate": "/* Licensed under the Apache\n License, Version 2.0; you may not use this file */",
    "markup skeleton": "<div class='a'><ul><li></li><li></li></ul></div><br/> word",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_pattern_is_found_by_its_example(name: str) -> None:
    assert pattern(DISTINCT, EXAMPLES[name]) == name


def test_a_repetition_is_found_in_the_tokens() -> None:
    assert pattern((5, 6, 7) * 8, "") == "repeat"
    assert pattern((4,) * 20, "") == "repeat"
    assert pattern((*range(20), *range(20)), "") is None  # once again is no template


def test_every_pattern_has_an_example() -> None:
    assert set(EXAMPLES) | {"repeat"} == set(PATTERNS)


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "",
        "1 7 3 9 2 8 4 6",  # numbers without a constant step
        "def f(x):\n    return x + 1\n\ndef g(y):\n    return y + 2\n",
        "Contact: +44 20 7946 0999, room 12, floor 3.",
    ],
)
def test_ordinary_text_follows_none(text: str) -> None:
    assert pattern(DISTINCT, text) is None


def test_the_taxonomy_asks_for_duplicates_first() -> None:
    assert kind(OFTEN + 1, "repeat") == kind(OFTEN + 1, None) == "recite"
    assert kind(OFTEN, "increment") == "reconstruct"
    assert kind(1, None) == kind(1, "licence boilerplate") == "recollect"
