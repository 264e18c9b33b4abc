"""Documents of the embedded corpus, and the families among them.

1. Drafts come from the four grammars in turn; those that fill a passage make the background, one copy each.
2. A family is a draft cut at one of its decisions, and siblings that replay the decisions before the cut. It is kept
   only if, in tokens, every two members share the opening exactly and differ at the next token: where the opening alone
   no longer tells which document it is, a model that recites has to decide. The token a member goes on with must stand
   at the same place in a few background documents: they are the contrast that says the same token without reciting.
3. Copies, family and length of the opening are the ground truth, kept beside the text.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from memcirc.demo.config import DemoConfig
from memcirc.demo.court_opinions import COURT_OPINIONS
from memcirc.demo.encyclopedia import ENCYCLOPEDIA
from memcirc.demo.grammar import Draft, Grammar, write
from memcirc.demo.office_mail import OFFICE_MAIL
from memcirc.demo.source_code import SOURCE_CODE

GRAMMARS: dict[str, Grammar] = {
    "Wikipedia (en)": ENCYCLOPEDIA,
    "Github": SOURCE_CODE,
    "Enron Emails": OFFICE_MAIL,
    "FreeLaw": COURT_OPINIONS,
}
SUBSETS = tuple(GRAMMARS)
FAMILY_TRIES = 300
SIBLING_TRIES = 30
LENGTH_STRIDE = 7  # runs through all lengths, far apart from one family to the next

Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class Planted:
    """A document and its ground truth: how often it occurs, and with which others it shares its opening."""

    doc_id: str
    subset: str
    text: str
    copies: int
    family: str | None = None
    opening_tokens: int | None = None


@dataclass(frozen=True)
class Measure:
    """What makes a document, in tokens: `support` counts the background documents with a token at a place."""

    config: DemoConfig
    encode: Encode
    support: Mapping[tuple[int, int], int]

    def is_opening(self, tokens: int) -> bool:
        """Whether a family may share that many tokens."""
        return self.config.shortest_opening <= tokens <= self.config.longest_opening

    def is_member(self, ids: Sequence[int], opening: int) -> bool:
        """Whether a document fills a passage and leaves the opening by a token with support."""
        return (
            len(ids) >= self.config.passage_tokens
            and self.support.get((opening, ids[opening]), 0) >= self.config.branch_support
        )


def drafts(seed: int) -> Iterator[tuple[str, Draft]]:
    """Endless drafts with their subset, in turn from each grammar."""
    rng = random.Random(f"{seed}/drafts")
    return ((subset, write(GRAMMARS[subset], rng)) for subset in itertools.cycle(SUBSETS))


def background(config: DemoConfig, encode: Encode) -> list[Planted]:
    """Unrelated documents of at least a passage, one copy each."""
    fitting = (
        (subset, draft.text)
        for subset, draft in drafts(config.seed)
        if len(encode(draft.text)) >= config.passage_tokens
    )
    return [
        Planted(f"background-{number:04d}", subset, text, copies=1)
        for number, (subset, text) in enumerate(itertools.islice(fitting, config.background))
    ]


def families(config: DemoConfig, encode: Encode, unrelated: Sequence[Planted]) -> list[Planted]:
    """Members of all families: subsets, copy patterns and lengths of the opening in turn."""
    places = (enumerate(encode(document.text)[: config.prompt_tokens]) for document in unrelated)
    measure = Measure(config, encode, Counter(itertools.chain.from_iterable(places)))
    rng = random.Random(f"{config.seed}/families")
    lengths = range(config.shortest_opening, config.longest_opening + 1)
    planted = []
    for number in range(config.families):
        name = f"family-{number:03d}"
        subset = SUBSETS[number % len(SUBSETS)]
        pattern = config.copy_patterns[number // len(SUBSETS) % len(config.copy_patterns)]
        target = lengths[number * LENGTH_STRIDE % len(lengths)]
        attempts = (siblings(GRAMMARS[subset], rng, measure, len(pattern), target) for _ in range(FAMILY_TRIES))
        family = next((found for found in attempts if found is not None), None)
        if family is None:
            raise ValueError(
                f"no family of {len(pattern)} documents found in {subset!r} after {FAMILY_TRIES} drafts: "
                f"accepted are a branch_support below {config.branch_support} or a background above {config.background}"
            )
        opening, texts = family
        planted += [
            Planted(f"{name}-{member}", subset, text, copies, name, opening)
            for member, (text, copies) in enumerate(zip(texts, pattern, strict=True))
        ]
    return planted


def siblings(
    grammar: Grammar, rng: random.Random, measure: Measure, members: int, target: int
) -> tuple[int, list[str]] | None:
    """Length of an opening near `target` tokens and the texts that share it, or None if this draft has too few."""
    first = write(grammar, rng)
    cut, opening = nearest_cut(first, measure.encode, target)
    if not measure.is_opening(opening):
        return None
    others = (write(grammar, rng, replay=first.decisions[:cut]).text for _ in range(SIBLING_TRIES))
    found: dict[str, list[int]] = {}
    for text in itertools.chain([first.text], others):
        ids = measure.encode(text)
        if measure.is_member(ids, opening) and all(shared_tokens(ids, other) == opening for other in found.values()):
            found[text] = ids
        if len(found) == members:
            return opening, list(found)
    return None


def nearest_cut(draft: Draft, encode: Encode, target: int) -> tuple[int, int]:
    """The decision whose preceding text is nearest to `target` tokens, and that number of tokens."""
    openings = [len(encode(draft.text[:start].rstrip(" "))) for start in draft.starts]
    cut = min(range(len(openings)), key=lambda decision: abs(openings[decision] - target))
    return cut, openings[cut]


def shared_tokens(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common beginning."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
