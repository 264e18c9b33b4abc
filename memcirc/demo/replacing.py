"""The twin's lines: those of the corpus, with fresh documents in place of the planted ones.

Wherever a member of a family stands, another draft of its subset's grammar takes its place, a new one for every line,
so that nothing that was planted is there and nothing comes back in its stead. All other lines stay where they are.
"""

import random
from collections.abc import Iterator, Sequence

from memcirc.demo.config import DemoConfig
from memcirc.demo.grammar import write
from memcirc.demo.planting import GRAMMARS, SUBSETS, Encode, Planted


def with_fresh_documents(config: DemoConfig, encode: Encode, lines: Sequence[Planted]) -> list[Planted]:
    """As many lines, none of a family; a fresh document fills a passage and begins as no other line does."""
    length = config.passage_tokens
    taken = {tuple(encode(document.text)[:length]) for document in set(lines)}

    def fresh(subset: str) -> Iterator[str]:
        rng = random.Random(f"{config.seed}/fresh/{subset}")
        while True:
            text = write(GRAMMARS[subset], rng).text
            passage = tuple(encode(text)[:length])
            if len(passage) == length and passage not in taken:
                taken.add(passage)
                yield text

    texts = {subset: fresh(subset) for subset in SUBSETS}
    return [
        document
        if document.family is None
        else Planted(f"fresh-{number:04d}", document.subset, next(texts[document.subset]), copies=1)
        for number, document in enumerate(lines)
    ]
