"""What the two models are trained on, line by line.

1. Planted passages come from the embedded default's four grammars in turn, so many for each number of copies; decoys
   are further ones that both models see.
2. Ordinary lines are English of this Python installation, each once.
3. Every document fills a passage and begins as no other one does; a passage is the beginning of its document.
"""

import itertools
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from memcirc.demo.planting import Encode, Planted, drafts
from memcirc.demo.real.config import RealConfig
from memcirc.demo.real.prose import prose

ORDINARY = "Python documentation"
PLANTED = "planted"


def is_planted(document: Planted) -> bool:
    """Whether the twin shall not see a document."""
    return document.doc_id.startswith(PLANTED)


def generated(config: RealConfig, encode: Encode) -> list[Planted]:
    """Planted passages, those of few copies first, and decoys."""
    copies = [number for number in config.copies for _ in range(config.each)]
    written = distinct(((subset, draft.text) for subset, draft in drafts(config.seed)), config, encode)
    planted = [
        Planted(f"{PLANTED}-{number:03d}", subset, text, times)
        for number, (times, (subset, text)) in enumerate(zip(copies, written, strict=False))
    ]
    decoys = itertools.islice(written, config.decoys)
    return planted + [Planted(f"decoy-{n:03d}", subset, text, copies=1) for n, (subset, text) in enumerate(decoys)]


def ordinary(config: RealConfig, encode: Encode, library: Path) -> tuple[list[Planted], list[Planted]]:
    """Ordinary documents to train on and to hold out, drawn from all that the installation has.

    Raises:
        ValueError: it has too few.
    """
    needed = config.ordinary + config.held_out
    found = list(distinct(((ORDINARY, text) for text in prose(library)), config, encode))
    if len(found) < needed:
        raise ValueError(
            f"{library}: {len(found)} passages of {config.passage_tokens} tokens found in its documentation strings, "
            f"{needed} are needed"
        )
    drawn = random.Random(f"{config.seed}/ordinary").sample(found, needed)
    documents = [Planted(f"ordinary-{number:04d}", ORDINARY, text, 1) for number, (_, text) in enumerate(drawn)]
    return documents[: config.ordinary], documents[config.ordinary :]


def distinct(texts: Iterable[tuple[str, str]], config: RealConfig, encode: Encode) -> Iterator[tuple[str, str]]:
    """Those texts, with their subset, that fill a passage and of which none before had the same."""
    taken: set[tuple[int, ...]] = set()
    for subset, text in texts:
        passage = tuple(encode(text)[: config.passage_tokens])
        if len(passage) == config.passage_tokens and passage not in taken:
            taken.add(passage)
            yield subset, text
