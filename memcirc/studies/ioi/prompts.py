"""Prompts of the task, from templates and names of our own.

Every prompt has the same structure, so that positions mean the same in all of them:

    <bos> After Rose and Carl walked to the market, Carl handed the lamp to   ->   Rose

The corrupt prompt differs in one word: the other one gives (" Rose handed the lamp to"), so that the answer changes
sides. Who is named first alternates.
"""

import random
from dataclasses import dataclass
from typing import Any

from memcirc.pairs.tokenizing import is_one_token

NAMES = (
    "Adam", "Alice", "Anna", "Ben", "Bill", "Carl", "Clara", "Dean", "Diana", "Emma", "Eric", "Frank", "Fred", "George",
    "Grace", "Helen", "Henry", "Ivan", "Jack", "Jane", "Kate", "Leo", "Mark", "Nina", "Oliver", "Paul", "Rose", "Sam",
    "Tina", "Victor",
)  # fmt: skip
OPENINGS = ("After", "When", "Once", "While", "As", "Before")
WALKS = ("walked to", "went to", "came to", "drove to", "moved to")
PLACES = ("market", "station", "office", "school", "park", "garden", "library", "hotel", "church", "bridge")
ACTS = ("handed", "gave", "passed", "offered", "sold", "showed")
OBJECTS = ("lamp", "book", "letter", "ticket", "camera", "ring", "map", "bag", "cup", "coin")
ROLES = (
    "start", "opening", "first name", "and", "second name", "walks", "to", "the", "place", ",", "giver", "act", "the",
    "object", "to",
)  # fmt: skip
PIECES = r" ?[A-Za-z]+|,"


@dataclass(frozen=True)
class IoiPair:
    """A clean and a corrupt prompt, the indirect object (answer) and the giver (wrong answer) of the clean one."""

    clean: str
    corrupt: str
    answer: str
    wrong: str


@dataclass(frozen=True)
class Words:
    """The words that fill the templates, by their part in them."""

    names: tuple[str, ...] = NAMES
    openings: tuple[str, ...] = OPENINGS
    walks: tuple[str, ...] = WALKS
    places: tuple[str, ...] = PLACES
    acts: tuple[str, ...] = ACTS
    objects: tuple[str, ...] = OBJECTS


def words_for(tokenizer: Any) -> Words:
    """The words of which every part is one token, so that positions are roles.

    Raises:
        ValueError: the tokenizer leaves fewer than two words for some part of the template.
    """

    def single(words: tuple[str, ...], before: str = OPENINGS[0], space: str = " ") -> tuple[str, ...]:
        kept = tuple(w for w in words if all(is_one_token(tokenizer, before, space + part) for part in w.split()))
        if len(kept) < 2:
            raise ValueError(
                f"this tokenizer keeps {len(kept)} of {', '.join(words[:3])}, ... in one token; 2 are needed"
            )
        return kept

    parts = (WALKS, PLACES, ACTS, OBJECTS)
    return Words(single(NAMES), single(OPENINGS, "", ""), *(single(part) for part in parts))


def draw(words: Words, rng: random.Random, first: bool) -> IoiPair:
    """A pair; ``first``: the indirect object is named first."""
    other, giver = rng.sample(words.names, 2)
    named = (other, giver) if first else (giver, other)
    start = f"{rng.choice(words.openings)} {named[0]} and {named[1]}"
    scene = f"{start} {rng.choice(words.walks)} the {rng.choice(words.places)},"
    act = f"{rng.choice(words.acts)} the {rng.choice(words.objects)} to"
    return IoiPair(f"{scene} {giver} {act}", f"{scene} {other} {act}", f" {other}", f" {giver}")


def drawn(words: Words, n: int, seed: int) -> list[IoiPair]:
    """``n`` pairs, in turn with the indirect object first and second."""
    rng = random.Random(seed)
    return [draw(words, rng, i % 2 == 0) for i in range(n)]
