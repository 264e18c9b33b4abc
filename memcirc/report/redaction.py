"""Text taken out of what a run has written, before a page or a folder for others is made of it.

A passage becomes its length and a hash, ``‹3f9a0c1d2b4e, 37 characters›``; token ids, which are the passage too, become
their number. The hash is keyed by all the run's pairs, so that equal texts are seen to be equal, and a short one cannot
be found by hashing guesses without having them all.

What is known to be text (the pairs', and those that a distribution names as the worst) is replaced as a whole. Anywhere
else, a string that holds ``WORDS`` words in a row of a pair's text is.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from memcirc.report.contrasts import MARK, identity

WORDS = 5
DIGITS = 12
TEXTS = ("clean", "corrupt", "answer_sequence")
LISTS_OF_TEXTS = ("answers", "wrong_answers")
NAMES = ("doc_id", "corrupt_doc_id", "family", "subset")
OF_THE_WORST = ("ends_with", "answer")


@dataclass(frozen=True)
class Redaction:
    """The key of the hashes, and every ``WORDS`` words in a row of the pairs' text; make one with :meth:`of`."""

    key: bytes
    known: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, pairs: Iterable[Mapping[str, Any]]) -> "Redaction":
        """What takes out the text of these contents of ``pairs.json``."""
        contents = list(pairs)
        key = hashlib.sha256(json.dumps(contents, sort_keys=True, ensure_ascii=True).encode()).digest()
        texts = (text for content in contents for pair in content["prompts"] for text in _texts(pair))
        return cls(key, frozenset(run for text in texts for run in runs_of_words(text)))

    def text(self, passage: str) -> str:
        """The mark in the place of a passage; nothing in the place of nothing."""
        if not passage:
            return ""
        return f"‹{self._digest(passage)}, {len(passage)} characters›"

    def _digest(self, text: str) -> str:
        return hmac.new(self.key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:DIGITS]

    def anywhere(self, content: Any) -> Any:
        """JSON-like content in which every string that holds known words is a mark."""
        if isinstance(content, Mapping):
            return {self.anywhere(key): self.anywhere(value) for key, value in content.items()}
        if isinstance(content, list | tuple):
            return [self.anywhere(value) for value in content]
        if isinstance(content, str) and any(run in self.known for run in runs_of_words(content)):
            return self.text(content)
        return content

    def pairs(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The content of ``pairs.json`` without text and ids; ``shared`` is what both prompts begin with."""
        return {**self.anywhere(content), "prompts": [self._pair(pair) for pair in content["prompts"]]}

    def verification(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The content of ``verification.json`` without text, its pairs named as :meth:`pairs` names them."""
        rows = [self._distribution(row) for row in content["distribution"]]
        return {**self.anywhere({**content, "distribution": []}), "distribution": self.anywhere(rows)}

    def _pair(self, pair: Mapping[str, Any]) -> dict[str, Any]:
        clean, corrupt = pair.get("clean", ""), pair.get("corrupt", "")
        shared = "".join(a for a, _ in takewhile(lambda both: both[0] == both[1], zip(clean, corrupt, strict=False)))
        told = {
            key: value
            for key, value in pair.items()
            if key not in (*TEXTS, *LISTS_OF_TEXTS, *NAMES) and not key.endswith("_ids")
        }
        numbers = {f"n_{key.removesuffix('_ids')}": len(pair[key]) for key in pair if key.endswith("_ids")}
        start = self.text(shared)
        texts = {
            "shared": start,
            "clean": start + self.text(clean[len(shared) :]),
            "corrupt": start + self.text(corrupt[len(shared) :]),
            "answer_sequence": self.text(pair.get("answer_sequence", "")),
            MARK: self._digest(identity(pair)),
            **{key: [self.text(text) for text in pair.get(key, ())] for key in LISTS_OF_TEXTS},
        }
        return {**told, **numbers, **texts, **{key: self._name(pair[key]) for key in NAMES if key in pair}}

    def _distribution(self, row: Mapping[str, Any]) -> dict[str, Any]:
        ratios = {self._digest(pair): ratio for pair, ratio in row.get("ratios", {}).items()}
        return {**row, "worst": [self._worst(pair) for pair in row["worst"]], "ratios": ratios}

    def _worst(self, pair: Mapping[str, Any]) -> dict[str, Any]:
        texts = {key: self.text(pair[key]) for key in OF_THE_WORST if key in pair}
        return {**pair, **texts, **{key: self._name(pair[key]) for key in NAMES if key in pair}}

    def _name(self, name: str) -> str:
        """A document's name as it is, unless it is a text of several words."""
        return self.text(name) if len(re.findall(r"\w+", name)) >= WORDS and re.search(r"\s", name) else name


def runs_of_words(text: str) -> Iterator[tuple[str, ...]]:
    """Every ``WORDS`` words in a row, without case and punctuation."""
    words = re.findall(r"\w+", text.lower())
    return (tuple(words[i : i + WORDS]) for i in range(len(words) - WORDS + 1))


def _texts(pair: Mapping[str, Any]) -> Sequence[str]:
    """A pair's texts: its prompts, each with what follows it."""
    answers = [pair.get("answer_sequence") or "".join(pair.get("answers", [])[:1]), *pair.get("wrong_answers", [])]
    prompts = (pair.get("clean", ""), pair.get("corrupt", ""))
    return [prompt + answer for prompt in prompts for answer in (answers or [""])]


_WHOLE = re.compile(r"(?:~|[A-Za-z]:)?[\\/][^\n]*[^\n\\/]")
_WITHIN = re.compile(r"(?<![\w:/.])(?:~|[A-Za-z]:)?[\\/](?:[^\s:'\"\\/]+[\\/])+([^\s:'\"\\/]*)")


def without_places(content: Any) -> Any:
    """JSON-like content, not of a text's own, in which the path of a folder or file of a machine is its last part."""
    if isinstance(content, Mapping):
        return {key: without_places(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_places(value) for value in content]
    if not isinstance(content, str):
        return content
    return re.split(r"[\\/]", content)[-1] if _WHOLE.fullmatch(content) else _WITHIN.sub(r"\1", content)
