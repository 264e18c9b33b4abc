"""Pairs as text: a few that stand open on a page, and all of them to search and to sort."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from memcirc.pairs.file import load_pairs
from memcirc.report.numbers import visible

SHOWN, MOST = 6, 1000
MOST_BYTES = 2_500_000
"""What the text of all pairs may add to a page."""
ORDERS = {
    "copies": "copies in the training text",
    "divergence": "tokens before recitation breaks off",
    "lift": "nats a token that the model is better than its twin",
    "similarity": "similarity of the two prompts",
}
"""Fields of a pair that it can be sorted by, in words."""
MARK = "mark"
"""The field that names a pair whose ids are redacted."""


@dataclass(frozen=True)
class Contrast:
    """A pair as text: what both prompts share, what follows in each (nothing in both: they are the same), and the
    answers."""

    about: str
    shared: str
    clean: str
    answer: str
    corrupt: str
    wrong_answer: str

    @property
    def one_prompt(self) -> bool:
        """Whether there is one prompt, which both runs read."""
        return not self.clean and not self.corrupt


@dataclass(frozen=True)
class Measured:
    """What was measured of some pairs, by their fingerprints: in words to sort by, and as a template of the value in
    those that are told of a pair."""

    order: str
    told: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class PairBrowser:
    """Pairs to search and to sort.

    Attributes:
        n: how many there are; ``rows`` may be fewer, evenly over the file.
        rows: of each its :class:`Contrast` and, under ``by``, the values that it can be sorted by, as plain values in
            which no sign acts unseen.
        orders: what these values are, in words.
    """

    n: int
    rows: tuple[Mapping[str, Any], ...]
    orders: tuple[str, ...]

    @property
    def summary(self) -> str:
        """What a reader sees of it before it is opened."""
        some = "All" if len(self.rows) == self.n else f"{len(self.rows):,} of"
        return f"{some} {self.n:,} pairs, to search and to sort"

    @property
    def note(self) -> str:
        """Where the others are; nothing where there are none."""
        return "" if len(self.rows) == self.n else "They lie evenly over the file of pairs, which holds them all."

    @property
    def data(self) -> Markup:
        """The rows as JSON that can stand in a page."""
        return htmlsafe_json_dumps(self.rows, ensure_ascii=False)


def spread(prompts: Sequence[Mapping[str, Any]], n: int) -> Sequence[Mapping[str, Any]]:
    """``n`` pairs of a file, evenly over it; all where there are no more."""
    n = min(n, len(prompts))
    return [prompts[i * len(prompts) // n] for i in range(n)]


def pair_browser(
    prompts: Sequence[Mapping[str, Any]], most_bytes: int = MOST_BYTES, measured: Sequence[Measured] = ()
) -> PairBrowser | None:
    """The pairs of a file to browse, as many as ``MOST`` and their text allow; None where those that stand open are
    all.

    Args:
        measured: what else they can be sorted by.
    """
    if len(prompts) <= SHOWN:
        return None
    fields = [name for name in ORDERS if any(pair.get(name) is not None for pair in prompts)]

    def rows_of(n: int) -> list[Mapping[str, Any]]:
        return [_row(pair, fields, measured) for pair in spread(prompts, n)]

    rows = rows_of(MOST)
    while (size := sum(len(htmlsafe_json_dumps(row, ensure_ascii=False).encode()) for row in rows)) > most_bytes:
        rows = rows_of(len(rows) * most_bytes // (size + 1))
    return PairBrowser(
        len(prompts), tuple(rows), (*(ORDERS[name] for name in fields), *(each.order for each in measured))
    )


def _row(pair: Mapping[str, Any], fields: Sequence[str], measured: Sequence[Measured]) -> Mapping[str, Any]:
    own = identity(pair) if measured else ""
    found = [each.values.get(own) for each in measured]
    shown = {name: visible(text) for name, text in vars(contrast(pair)).items()}
    told = (each.told.format(value) for each, value in zip(measured, found, strict=True) if value is not None)
    about = " · ".join((shown["about"], *told))
    return {**shown, "about": about, "by": [*(pair.get(name) for name in fields), *found]}


def identity(pair: Mapping[str, Any]) -> str:
    """That of a pair of a file; where its ids are redacted, the mark in its place."""
    return str(pair[MARK]) if MARK in pair else load_pairs({"prompts": [pair]}).items[0].fingerprint


def contrast(pair: Mapping[str, Any]) -> Contrast:
    """A pair of a file as text, with its whole answer where it has one."""
    clean, corrupt = pair.get("clean", ""), pair.get("corrupt", "")
    wrong = " / ".join(pair.get("wrong_answers", []))
    begin_alike = takewhile(lambda both: both[0] == both[1], zip(clean, corrupt, strict=False))
    shared = pair["shared"] if "shared" in pair else "".join(a for a, _ in begin_alike)  # said where text is redacted
    about = [pair.get("subset", ""), pair.get("doc_id", "")]
    about += [f"{pair['copies']} copies"] if pair.get("copies") else []
    about += [f"diverges after {pair['divergence']} tokens"] if pair.get("divergence") else []
    about += [f"wrong answer {wrong!r}"] if clean == corrupt else []
    about += [f"lift {pair['lift']:.2f} nats a token"] if pair.get("lift") is not None else []
    about += [f"similarity {pair['similarity']:.2f}"] if pair.get("similarity") is not None else []
    return Contrast(
        about=" · ".join(part for part in about if part),
        shared=shared,
        clean=clean[len(shared) :],
        answer=pair.get("answer_sequence") or " / ".join(pair.get("answers", [])),
        corrupt=corrupt[len(shared) :],
        wrong_answer=wrong,
    )
