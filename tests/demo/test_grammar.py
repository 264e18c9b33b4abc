"""Drafts: what they are made of, and that their decisions can be replayed."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcirc.demo.grammar import SLOT, Grammar, write
from memcirc.demo.planting import GRAMMARS

SMALL: Grammar = {
    "text": ["<who:name> met <name>. <who> <verb> and <verb>."],
    "name": ["Ada", "Bea", "Cy"],
    "verb": ["ran", "sang"],
}


def test_decisions_pick_from_the_alternatives_that_are_left():
    draft = write(SMALL, random.Random(0), replay=(2, 0, 1, 0))
    assert draft.text == "Cy met Ada. Cy sang and ran."
    assert draft.decisions == (2, 0, 1, 0)
    assert draft.starts == (0, 7, 15, 24)


@pytest.mark.parametrize("subset", GRAMMARS)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_a_replayed_beginning_gives_the_same_text_up_to_the_next_decision(subset, seed, data):
    draft = write(GRAMMARS[subset], random.Random(seed))
    cut = data.draw(st.integers(0, len(draft.decisions) - 1))
    sibling = write(GRAMMARS[subset], random.Random(seed + 1), replay=draft.decisions[:cut])
    assert sibling.text[: draft.starts[cut]] == draft.text[: draft.starts[cut]]
    assert sibling.starts[: cut + 1] == draft.starts[: cut + 1]


@pytest.mark.parametrize("subset", GRAMMARS)
def test_every_slot_of_a_grammar_is_a_rule_or_a_name_bound_in_it(subset):
    grammar = GRAMMARS[subset]
    slots = [
        slot.groups() for alternatives in grammar.values() for text in alternatives for slot in SLOT.finditer(text)
    ]
    bound = {name for name, _ in slots if name}
    assert {rule for _, rule in slots} <= grammar.keys() | bound
    assert not bound & grammar.keys()


@pytest.mark.parametrize("subset", GRAMMARS)
def test_no_slot_is_left_in_a_text(subset):
    rng = random.Random(3)
    texts = [write(GRAMMARS[subset], rng).text for _ in range(200)]
    rules = GRAMMARS[subset].keys()
    assert not [slot for text in texts for slot in SLOT.finditer(text) if slot.group(2) in rules]
    assert len(set(texts)) == len(texts)
