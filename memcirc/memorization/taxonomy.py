"""What kind of memorization is it? Recite, reconstruct, recollect (Prashanth et al. 2024), and trivial patterns.

- ``recite``: the passage occurs more than :data:`OFTEN` times in the corpus;
- ``reconstruct``: it occurs less often, but a template predicts it: a repetition or a count;
- ``recollect``: neither.

A passage that follows a trivial pattern says little about memory whoever wrote it; the patterns are, in the order in
which they are looked for, those of :data:`PATTERNS`.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

OFTEN = 5
PATTERNS = (
    "repeat",
    "number sequence",
    "increment",
    "one-character run",
    "licence boilerplate",
    "markup skeleton",
)
TEMPLATES = ("repeat", "number sequence", "increment")

_NUMBER = re.compile(r"\d+")
_ITEM = re.compile(r"[\n;,]+")
_TAG = re.compile(r"<[^<>]*>|\\[a-zA-Z]+|[{}\[\]|&=]")
_LICENCES = (
    "licensed under the apache license",
    "permission is hereby granted, free of charge",
    "gnu general public license",
    "gnu lesser general public license",
    "redistribution and use in source and binary forms",
    "without warranty of any kind",
    "without warranties or conditions of any kind",
    "mozilla public license",
    "all rights reserved",
)


def pattern(tokens: Sequence[int], text: str) -> str | None:
    """The trivial pattern that a passage follows, None for none.

    Args:
        tokens: prompt and true completion.
        text: the same as text; empty where there is no tokenizer (then only repetitions are seen).
    """
    if repeats(tokens):
        return "repeat"
    if counts_in_words(text):
        return "number sequence"
    if counts_in_items(text):
        return "increment"
    if one_character_run(text):
        return "one-character run"
    if any(phrase in " ".join(text.lower().split()) for phrase in _LICENCES):
        return "licence boilerplate"
    if markup_skeleton(text):
        return "markup skeleton"
    return None


def kind(duplicates: int, found: str | None) -> str:
    """``recite``, ``reconstruct`` or ``recollect``, from the passage's count in the corpus and its pattern."""
    if duplicates > OFTEN:
        return "recite"
    return "reconstruct" if found in TEMPLATES else "recollect"


def repeats(tokens: Sequence[int]) -> bool:
    """Whether nine in ten tokens equal the one a fixed distance before, at most a third of the passage away."""
    n = len(tokens)
    return any(
        sum(tokens[i] == tokens[i - period] for i in range(period, n)) >= 0.9 * (n - period)
        for period in range(1, n // 3 + 1)
    )


def counts_in_words(text: str) -> bool:
    """Whether half of the words or more are numbers that go on by one constant step."""
    words = text.split()
    numbers = [int(match.group(1)) for word in words if (match := re.fullmatch(r"\W*(\d{1,15})\W*", word))]
    return len(numbers) >= 5 and 2 * len(numbers) >= len(words) and _constant_step(numbers)


def counts_in_items(text: str) -> bool:
    """Whether most items (lines, or parts between commas) are one text but for a number that goes on by one step."""
    items = [item.strip() for item in _ITEM.split(text) if _NUMBER.search(item)]
    skeletons = [_NUMBER.sub("0", item) for item in items[1:-1]]  # the first and the last may be cut off
    if len(skeletons) < 3:
        return False
    common = max(set(skeletons), key=skeletons.count)
    alike = [item for item, skeleton in zip(items[1:-1], skeletons, strict=True) if skeleton == common]
    columns = zip(*(map(int, _NUMBER.findall(item)) for item in alike), strict=True)
    return len(alike) >= max(3, 0.7 * len(skeletons)) and any(_constant_step(column) for column in columns)


def _constant_step(numbers: Sequence[int]) -> bool:
    steps = [b - a for a, b in pairwise(numbers)]
    most = max(set(steps), key=steps.count, default=0)
    return bool(steps) and most != 0 and steps.count(most) >= 0.8 * len(steps)


def one_character_run(text: str) -> bool:
    """Whether one character that is neither letter nor digit, repeated, makes up half of the text or more."""
    dense = "".join(text.split())
    longest = max((len(match.group()) for match in re.finditer(r"([^\w])\1*", dense)), default=0)
    return longest >= max(8, len(dense) / 2)


def markup_skeleton(text: str) -> bool:
    """Whether tags, commands and brackets make up 60 % or more of the characters that are not spaces."""
    dense = "".join(text.split())
    return bool(dense) and sum(len(match.group()) for match in _TAG.finditer(dense)) >= 0.6 * len(dense)
