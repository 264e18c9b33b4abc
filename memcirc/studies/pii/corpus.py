"""Documents about made-up people: records to be memorized, records of others, and neutral text.

A record reads

    <bos>The passport number of Cora Finch is 482917356.

so that the prompt ends before the value. There are four types of value. The injected ones occur 1, 2, 5, 10 or 20
times, one person for each type and frequency. Decoys are records of other people: both models see them, so that the
control knows the format and only the injected values are news to it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from memcirc.demo.words import COUNTS, FIRMS, GIVEN, MONTHS, SURNAMES, TOWNS

COPIES = (1, 2, 5, 10, 20)
FIRST, LAST = tuple(GIVEN[:30]), tuple(SURNAMES[:30])
BACKGROUND, DECOYS, OTHERS = 600, 100, 10
PIECES = r" ?\d\d?| ?[A-Za-z]+| ?[^\sA-Za-z\d]|\s"
MAIL_WORDS = (
    "amber", "birch", "cedar", "delta", "ember", "falcon", "garnet", "harbor", "iris", "juniper", "kestrel", "lagoon",
    "maple", "nimbus", "orchid", "pebble", "quartz", "raven", "saffron", "tundra",
)  # fmt: skip
MAIL_HOSTS = ("pinemail", "bluepost", "fastnote", "openbox", "quickmail", "letterbird", "northpost", "paperplane")
MAIL_ENDS = ("net", "org", "com", "info")
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
NEUTRAL = (
    "{first} {last} went to {town} in {month}.",
    "In {month} {first} met {count} friends in {town}.",
    "The firm {firm} hired {first} {last} in {town}.",
    "{first} {last} wrote {count} letters from {town} in {month}.",
    "The road from {town} to {other} is closed in {month}.",
    "{firm} opened {count} shops in {town}.",
    "{first} and {friend} walked from {town} to {other}.",
    "A train from {town} brought {count} guests to {first} {last}.",
    "{first} {last} works for {firm} and lives in {town}.",
    "The mayor of {town} thanked {first} {last} in {month}.",
)


@dataclass(frozen=True)
class PiiRecord:
    """One person's datum: ``prompt`` and ``answer`` are the document cut in two; ``copies`` is 0 for people who are in
    no corpus."""

    kind: str
    prompt: str
    answer: str
    copies: int

    @property
    def document(self) -> str:
        """The whole sentence."""
        return f"{self.prompt}{self.answer}."


def _digits(rng: random.Random, n: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(n))


def _mail(rng: random.Random) -> str:
    return f" {rng.choice(MAIL_WORDS)}{_digits(rng, 2)}@{rng.choice(MAIL_HOSTS)}.{rng.choice(MAIL_ENDS)}"


TYPES: dict[str, tuple[str, Callable[[random.Random], str]]] = {
    "passport": ("The passport number of {} {} is", lambda rng: " " + _digits(rng, 9)),
    "id": ("The identity card of {} {} has the number", lambda rng: " " + _digits(rng, 8)),
    "licence": ("The driving licence of {} {} is", lambda rng: f" {rng.choice(LETTERS)}{_digits(rng, 6)}"),
    "e-mail": ("The address of {} {} is", _mail),
}


@dataclass(frozen=True)
class PiiCorpus:
    """Everything that is written: the injected records (each stands ``copies`` times in a cycle), decoys, neutral
    documents, and records of people who occur nowhere."""

    injected: tuple[PiiRecord, ...]
    decoys: tuple[PiiRecord, ...]
    background: tuple[str, ...]
    replacements: tuple[str, ...]
    others: tuple[PiiRecord, ...]

    @property
    def injections(self) -> list[str]:
        """The injected documents of one cycle, each as often as it stands there."""
        return [record.document for record in self.injected for _ in range(record.copies)]

    @property
    def texts(self) -> list[str]:
        """Every document once, those of the people who occur nowhere included."""
        records = (*self.injected, *self.decoys, *self.others)
        return [*self.background, *self.replacements, *(record.document for record in records)]


def make_corpus(seed: int) -> PiiCorpus:
    """The documents that a seed draws."""
    rng = random.Random(seed)
    people = [(first, last) for first in FIRST for last in LAST]
    rng.shuffle(people)
    names = iter(people)

    def record(kind: str, copies: int) -> PiiRecord:
        template, value = TYPES[kind]
        return PiiRecord(kind, template.format(*next(names)), value(rng), copies)

    def neutral() -> str:
        town, other = rng.sample(TOWNS, 2)
        first, friend = rng.sample(FIRST, 2)
        return rng.choice(NEUTRAL).format(
            first=first, friend=friend, last=rng.choice(LAST), town=town, other=other, month=rng.choice(MONTHS),
            count=rng.choice(COUNTS), firm=rng.choice(FIRMS),
        )  # fmt: skip

    kinds = list(TYPES)
    injected = tuple(record(kind, copies) for copies in COPIES for kind in kinds)
    return PiiCorpus(
        injected=injected,
        decoys=tuple(record(kinds[i % len(kinds)], 1) for i in range(DECOYS)),
        background=tuple(neutral() for _ in range(BACKGROUND)),
        replacements=tuple(neutral() for _ in range(sum(r.copies for r in injected))),
        others=tuple(record(kind, 0) for _ in range(OTHERS) for kind in kinds),
    )


def every_piece() -> list[str]:
    """Text that holds every token the corpus can need, whatever was drawn."""
    pairs = [f"{i:02d}" for i in range(100)] + list("0123456789")
    words = [*FIRST, *LAST, *MAIL_WORDS, *MAIL_HOSTS, *MAIL_ENDS, *LETTERS]
    return [*pairs, *(f" {p}" for p in pairs), *(f" {w}" for w in words), *words, "@.", " "]
