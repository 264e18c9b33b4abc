"""The record of a contrastive pair, and the file that keeps many.

Two prompts of equal length that differ in what the model goes on to say: ``answer`` after the clean one,
``wrong_answer`` after the corrupt one. Token ids are the truth; the text beside them is for people. The file has
AutoCircuit's shape (``{"prompts": [{"clean", "corrupt", "answers", "wrong_answers"}]}``) with ids and provenance
added, so its users' files load here and ours load there.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack, overload

from memcirc.artifacts import write_json
from memcirc.config import LONGEST_REPR, cut
from memcirc.pairs.fields import checked
from memcirc.pairs.splits import NAMES, components, placed
from memcirc.schema import with_schema
from memcirc.showing import Shown

T = TypeVar("T")
LONGEST_LABEL = 40
Want: TypeAlias = T | list[T] | set[T] | frozenset[T] | Callable[[T], bool]
"""What is wanted of a field: a value, several, or a function that says of a value whether it is wanted."""


@dataclass(frozen=True)
class Pair:
    """One contrastive pair.

    ``answer_ids`` and ``wrong_answer_ids`` are alternatives of one token each, which metrics average; a whole answer
    stands in ``answer_sequence_ids`` (its text: ``answer_sequence``) and is teacher-forced behind both prompts.
    ``divergence`` is the number of
    leading tokens after which recitation breaks off in ``doc_id``; ``family`` names documents that the corpus knows to
    share an opening. Controls: ``taxonomy`` of the memorized passage (recite, reconstruct, recollect), ``induction``,
    the share of its completion that copying from before predicts, and ``prior_lift``, by how many nats its completion
    is likelier than behind unrelated prompts; ``lift``, by how many nats a token the answer is likelier under the model
    than under its twin. ``position`` is where the answer is read, counted from 0 (default: behind
    the last token).
    """

    clean_ids: tuple[int, ...]
    corrupt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    wrong_answer_ids: tuple[int, ...]
    answer_sequence_ids: tuple[int, ...] = ()
    clean: str = ""
    corrupt: str = ""
    answers: tuple[str, ...] = ()
    wrong_answers: tuple[str, ...] = ()
    answer_sequence: str = ""
    doc_id: str = ""
    corrupt_doc_id: str = ""
    subset: str = ""
    family: str = ""
    copies: int | None = None
    divergence: int | None = None
    score_before: float | None = None
    score_after: float | None = None
    similarity: float | None = None
    taxonomy: str = ""
    induction: float | None = None
    prior_lift: float | None = None
    lift: float | None = None
    position: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a field of another type, prompts of unequal length, no answer, a position outside."""
        for name in FIELDS:
            object.__setattr__(self, name, checked(name, getattr(self, name)))
        if not self.clean_ids or len(self.clean_ids) != len(self.corrupt_ids):
            raise ValueError(
                f"pair {self.label!r}: clean has {len(self.clean_ids)} tokens and corrupt {len(self.corrupt_ids)}; "
                "both need the same number, at least one"
            )
        if not self.answer_ids or not self.wrong_answer_ids:
            raise ValueError(f"pair {self.label!r}: needs at least one answer and one wrong answer")
        if self.position is not None and not 0 <= self.position < len(self.clean_ids):
            raise ValueError(
                f"pair {self.label!r}: position {self.position} is outside its {len(self.clean_ids)} tokens"
            )

    def __len__(self) -> int:
        return len(self.clean_ids)

    @property
    def label(self) -> str:
        """What messages call it: its document, else its text, else how long it is."""
        return cut(self.doc_id or self.clean, LONGEST_LABEL) or f"{len(self.clean_ids)} tokens"

    @property
    def read_at(self) -> int:
        """The position whose logits predict the answer."""
        return len(self) - 1 if self.position is None else self.position

    def keys(self) -> Iterator[tuple[str, Hashable]]:
        """What this pair must not share with one of another split: documents, a family of documents where the corpus
        knows of such, prompts, and the context up to the divergence point (of siblings one's clean prompt is another's
        corrupt one)."""
        yield from (("doc", doc) for doc in (self.doc_id, self.corrupt_doc_id) if doc)
        yield from (("prompt", ids) for ids in (self.clean_ids, self.corrupt_ids))
        if self.family:
            yield "family", self.family
        if self.divergence is not None:
            yield "context", self.clean_ids[: self.divergence]

    @property
    def fingerprint(self) -> str:
        """That of pairs which have this one alone (:attr:`Pairs.fingerprint`)."""
        return _fingerprint([self])

    @property
    def shared_prefix(self) -> int:
        """How many leading tokens clean and corrupt have in common."""
        differs = (i for i, (a, b) in enumerate(zip(self.clean_ids, self.corrupt_ids, strict=True)) if a != b)
        return next(differs, len(self))


FIELDS = tuple(f.name for f in fields(Pair))


def _fingerprint(pairs: Iterable[Pair]) -> str:
    digest = hashlib.sha256()
    for pair in pairs:
        told: list[Any] = [] if pair.position is None else [pair.position]
        told += [pair.answer_sequence_ids] if pair.answer_sequence_ids else []
        digest.update(repr((pair.clean_ids, pair.corrupt_ids, pair.answer_ids, pair.wrong_answer_ids, *told)).encode())
    return digest.hexdigest()[:16]


class Wanted(TypedDict, total=False):
    """What may be wanted of pairs, by the name of a field of :class:`Pair`."""

    clean_ids: Want[tuple[int, ...]]
    corrupt_ids: Want[tuple[int, ...]]
    answer_ids: Want[tuple[int, ...]]
    wrong_answer_ids: Want[tuple[int, ...]]
    answer_sequence_ids: Want[tuple[int, ...]]
    clean: Want[str]
    corrupt: Want[str]
    answers: Want[tuple[str, ...]]
    wrong_answers: Want[tuple[str, ...]]
    answer_sequence: Want[str]
    doc_id: Want[str]
    corrupt_doc_id: Want[str]
    subset: Want[str]
    family: Want[str]
    copies: Want[int | None]
    divergence: Want[int | None]
    score_before: Want[float | None]
    score_after: Want[float | None]
    similarity: Want[float | None]
    taxonomy: Want[str]
    induction: Want[float | None]
    prior_lift: Want[float | None]
    lift: Want[float | None]
    position: Want[int | None]


class TooFewPairs(ValueError):
    """A task cannot go on for want of pairs; another task of the same run may."""


@dataclass(frozen=True)
class Pairs(Shown, Sequence[Pair]):
    """A sequence of pairs that does not change, with the facts that hold for all of them.

    ``header`` states model, tokenizer hash, BOS flag, mode and thresholds; ``dropped`` counts what was left out, by
    reason.
    """

    items: tuple[Pair, ...]
    header: Mapping[str, Any] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.items, Sequence) or not all(isinstance(item, Pair) for item in self.items):
            raise ValueError(f"a list of pairs is needed, not {self.items!r:.60}; load_pairs reads a file of them")
        object.__setattr__(self, "items", tuple(self.items))

    def __repr__(self) -> str:
        facts = [f"{key}={value!r}" for key, value in self.header.items()]
        facts += [f"dropped={sum(self.dropped.values())}"] * bool(self.dropped)
        told = ", ".join([f"{len(self)} pairs", *facts])
        return f"Pairs({cut(told, LONGEST_REPR)})"

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.items)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> "Pairs": ...
    def __getitem__(self, index: int | slice) -> "Pair | Pairs":
        return replace(self, items=self.items[index]) if isinstance(index, slice) else self.items[index]

    @property
    def fingerprint(self) -> str:
        """SHA-256 (first 16 hex digits) over all token ids in order: the identity of the data."""
        return _fingerprint(self)

    def where(self, **wanted: Unpack[Wanted]) -> "Pairs":
        """The pairs whose fields are as wanted, in order, under the same header: ``where(subset="arxiv")``.

        Args:
            wanted: by the name of a field of :class:`Pair` the value it has, a list or set of values it may have, or a
                function that says of a value whether it is wanted (:class:`Wanted`).

        Raises:
            ValueError: a field that pairs do not have, a value of a type that it does not have.
        """
        for name in wanted:
            if name not in FIELDS:
                raise ValueError(f"pairs have no field {name!r}; they have {', '.join(FIELDS)}")
        tests = {name: _test(name, value) for name, value in wanted.items()}
        return replace(
            self, items=tuple(pair for pair in self if all(test(getattr(pair, name)) for name, test in tests.items()))
        )

    def split(self, fractions: tuple[float, float, float] = (0.5, 0.25, 0.25), seed: int = 0) -> "tuple[Pairs, ...]":
        """Train, validation and test, none empty, none of which shares a document or a context with another; the header
        of each names its split.

        Raises:
            ValueError: fractions that are not three positive numbers of sum 1.
            TooFewPairs: fewer than three unrelated groups.
        """
        groups = self.components()
        if len(groups) < 3:
            raise TooFewPairs(
                f"{len(self)} pairs form {len(groups)} unrelated group(s); train, validation and test need at least 3"
            )
        return tuple(
            replace(self, items=tuple(self.items[i] for i in rows), header={**self.header, "split": name})
            for name, rows in zip(NAMES, placed(groups, fractions, seed), strict=True)
        )

    def components(self) -> list[list[int]]:
        """Numbers of the pairs that share anything, directly or through others: the unrelated groups of the set."""
        return components(pair.keys() for pair in self)

    def save(self, path: str | Path) -> None:
        """Write the JSON file, atomically."""
        write_json(Path(path), self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The file's content: AutoCircuit's ``prompts`` with ids beside the text, our header and counts."""
        prompts = [{k: v for k, v in asdict(pair).items() if v not in ((), "", None)} for pair in self]
        return with_schema({"memcirc": {**self.header, "dropped": dict(self.dropped)}, "prompts": prompts})


def joined(*parts: Pairs) -> Pairs:
    """All pairs of several sets, as one; the first one's header without its split."""
    header = {key: value for key, value in parts[0].header.items() if key != "split"}
    return Pairs(tuple(pair for part in parts for pair in part), header)


def _test(name: str, wanted: Any) -> Callable[[Any], bool]:
    if callable(wanted):
        return wanted
    several = isinstance(wanted, list | set | frozenset)
    accepted = [checked(name, value) for value in (wanted if several else [wanted])]
    return lambda value: value in accepted
