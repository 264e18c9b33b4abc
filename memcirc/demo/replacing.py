"""The twin's lines: those of the corpus, with fresh documents in place of the planted ones.

Wherever a planted document stands, another draft of its subset's grammar takes its place, a new one for every line,
so that nothing that was planted is there and nothing comes back in its stead. All other lines stay where they are.
"""

import random
from collections.abc import Callable, Iterator, Sequence

from memcirc.demo.grammar import write
from memcirc.demo.planting import GRAMMARS, SUBSETS, Encode, Planted


def with_fresh_documents(
    lines: Sequence[Planted], is_planted: Callable[[Planted], bool], encode: Encode, passage_tokens: int, seed: int
) -> list[Planted]:
    """As many lines, none of them planted; a fresh document fills a passage and begins as no other line does."""
    taken = {tuple(encode(document.text)[:passage_tokens]) for document in set(lines)}

    def fresh(subset: str) -> Iterator[str]:
        rng = random.Random(f"{seed}/fresh/{subset}")
        while True:
            text = write(GRAMMARS[subset], rng).text
            passage = tuple(encode(text)[:passage_tokens])
            if len(passage) == passage_tokens and passage not in taken:
                taken.add(passage)
                yield text

    texts = {subset: fresh(subset) for subset in SUBSETS}
    return [
        Planted(f"fresh-{number:04d}", document.subset, next(texts[document.subset]), copies=1)
        if is_planted(document)
        else document
        for number, document in enumerate(lines)
    ]
