"""Rewriting grammars whose every decision can be replayed.

A grammar maps a rule to its alternatives. In an alternative `<rule>` stands for a text of that rule, `<name:rule>` also
binds the text to a name, and `<name>` repeats it later on. Text is written from left to right, so the decisions stand in
the order of the text: two texts that share their first k decisions share everything up to the (k + 1)-th.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Grammar = Mapping[str, Sequence[str]]

SLOT = re.compile(r"<(?:([a-z_]+):)?([a-z_]+)>")


@dataclass(frozen=True)
class Draft:
    """A text and the decisions that wrote it, one number per rule with more than one alternative."""

    text: str
    decisions: tuple[int, ...]


def write(grammar: Grammar, rng: random.Random, replay: Sequence[int] = ()) -> Draft:
    """Write a text of the rule `text`: first by the decisions in `replay`, then by `rng`."""
    decisions: list[int] = []
    bound: dict[str, str] = {}

    def decide(alternatives: Sequence[str]) -> str:
        if len(alternatives) == 1:
            return alternatives[0]
        step = len(decisions)
        decisions.append(replay[step] if step < len(replay) else rng.randrange(len(alternatives)))
        return alternatives[decisions[step]]

    def expand(template: str) -> str:
        return "".join(pieces(template))

    def pieces(template: str) -> Iterator[str]:
        end = 0
        for slot in SLOT.finditer(template):
            yield template[end : slot.start()]
            name, rule = slot.groups()
            if name is None and rule in bound:
                yield bound[rule]
            else:
                text = expand(decide(grammar[rule]))
                if name is not None:
                    bound[name] = text
                yield text
            end = slot.end()
        yield template[end:]

    return Draft(expand("<text>"), tuple(decisions))
