"""Rewriting grammars whose every decision can be replayed.

A grammar maps a rule to its alternatives. In an alternative `<rule>` stands for a text of that rule, `<name:rule>` also
binds the text to a name, and `<name>` repeats it. Two rules of style hold everywhere:

1. Text is written from left to right, so decisions come in the order of the text: drafts that share their first k
   decisions share everything that was written before the next one.
2. An alternative is used again in a text only when all others of its rule have been used: no sentence comes twice.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Grammar = Mapping[str, Sequence[str]]

SLOT = re.compile(r"<(?:([a-z_]+):)?([a-z_]+)>")


@dataclass(frozen=True)
class Draft:
    """A text, the decisions that wrote it, and how many characters stood there when each was made."""

    text: str
    decisions: tuple[int, ...]
    starts: tuple[int, ...]


def write(grammar: Grammar, rng: random.Random, replay: Sequence[int] = ()) -> Draft:
    """Write a text of the rule `text`: first by the decisions in `replay`, then by `rng`."""
    text = ""
    decisions: list[int] = []
    starts: list[int] = []
    bound: dict[str, str] = {}
    unused: dict[str, list[str]] = {}

    def decide(rule: str) -> str:
        if len(grammar[rule]) == 1:
            return grammar[rule][0]
        left = unused.get(rule) or list(grammar[rule])
        made = len(decisions)
        decisions.append(replay[made] if made < len(replay) else rng.randrange(len(left)))
        starts.append(len(text))
        chosen = left.pop(decisions[made])
        unused[rule] = left
        return chosen

    def expand(template: str) -> None:
        nonlocal text
        end = 0
        for slot in SLOT.finditer(template):
            text += template[end : slot.start()]
            end = slot.end()
            name, rule = slot.groups()
            if rule in bound:
                text += bound[rule]
                continue
            start = len(text)
            expand(decide(rule))
            if name is not None:
                bound[name] = text[start:]
        text += template[end:]

    expand("<text>")
    return Draft(text, tuple(decisions), tuple(starts))
