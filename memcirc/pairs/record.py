"""The record of a contrastive pair, and the file that keeps many.

Two prompts of equal length that differ in what the model goes on to say: ``answer`` after the clean one,
``wrong_answer`` after the corrupt one. Token ids are the truth; the text beside them is for people. The file has
AutoCircuit's shape (``{"prompts": [{"clean", "corrupt", "answers", "wrong_answers"}]}``) with ids and provenance
added, so its users' files load here and ours load there.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, overload

from memcirc.artifacts import write_json
from memcirc.checkpoints import read_object
from memcirc.config import LONGEST_REPR, cut
from memcirc.ids import plain_ids
from memcirc.pairs.splits import NAMES, components, placed
from memcirc.pairs.tokenizing import answer_id, check_text, prompt_ids

SHAPE = '{"prompts": [{"clean": "A b", "corrupt": "A c", "answers": [" d"], "wrong_answers": [" e"]}, ...]}'
_IDS = ("clean_ids", "corrupt_ids", "answer_ids", "wrong_answer_ids", "answer_sequence_ids")
_TEXTS = ("clean", "corrupt", "doc_id", "corrupt_doc_id", "subset", "family", "taxonomy")
_COUNTS = ("copies", "divergence", "position")
_NUMBERS = ("score_before", "score_after", "similarity", "induction", "prior_lift")


@dataclass(frozen=True)
class Pair:
    """One contrastive pair.

    ``answer_ids`` and ``wrong_answer_ids`` are alternatives of one token each, which metrics average; a whole answer
    stands in ``answer_sequence_ids`` and is teacher-forced behind both prompts. ``divergence`` is the number of
    leading tokens after which recitation breaks off in ``doc_id``; ``family`` names documents that the corpus knows to
    share an opening. Controls: ``taxonomy`` of the memorized passage (recite, reconstruct, recollect), ``induction``,
    the share of its completion that copying from before predicts, and ``prior_lift``, by how many nats its completion
    is likelier than behind unrelated prompts. ``position`` is where the answer is read, counted from 0 (default: behind
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
    position: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a field of another type, prompts of unequal length, no answer, a position outside."""
        for name in _FIELDS:
            object.__setattr__(self, name, _checked(name, getattr(self, name)))
        label = self.doc_id or self.clean[:40] or f"{len(self.clean_ids)} tokens"
        if not self.clean_ids or len(self.clean_ids) != len(self.corrupt_ids):
            raise ValueError(
                f"pair {label!r}: clean has {len(self.clean_ids)} tokens and corrupt {len(self.corrupt_ids)}; "
                "both need the same number, at least one"
            )
        if not self.answer_ids or not self.wrong_answer_ids:
            raise ValueError(f"pair {label!r}: needs at least one answer and one wrong answer")
        if self.position is not None and not 0 <= self.position < len(self.clean_ids):
            raise ValueError(f"pair {label!r}: position {self.position} is outside its {len(self.clean_ids)} tokens")

    def __len__(self) -> int:
        return len(self.clean_ids)

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
    def shared_prefix(self) -> int:
        """How many leading tokens clean and corrupt have in common."""
        differs = (i for i, (a, b) in enumerate(zip(self.clean_ids, self.corrupt_ids, strict=True)) if a != b)
        return next(differs, len(self))


def _checked(name: str, value: Any) -> Any:
    """A field's value as the record keeps it; ValueError, naming the field, for one of another type."""
    if name in _IDS:
        return _checked_ids(name, value)
    if name in _TEXTS:
        return _checked_text(name, value)
    if name in _COUNTS or name in _NUMBERS:
        return _checked_number(name, value)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"{name} is {value!r:.60}; a list of texts is needed")
    return tuple(_checked_text(name, text) for text in value)


def _checked_ids(name: str, ids: Any) -> tuple[int, ...]:
    found = plain_ids(ids, name)
    if isinstance(found, int):
        raise ValueError(f"{name} is the number {found}; a list of token ids is needed")
    for i in found:
        if isinstance(i, list) or i < 0:
            raise ValueError(f"{name}: a flat list of token ids from 0 is needed, not one with {i!r:.40}")
    return tuple(found)


def _checked_text(name: str, text: Any) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{name} is {text!r:.60}; text is needed")
    check_text(text)
    return text


def _checked_number(name: str, value: Any) -> int | float | None:
    if value is None:
        return None
    whole = name in _COUNTS
    kind: Any = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ValueError(f"{name} is {value!r:.60}; a {'whole number' if whole else 'number'} is needed")
    if whole and value < 0:
        raise ValueError(f"{name} is {value}; at least 0 is needed")
    return int(value) if whole else float(value)


_FIELDS = tuple(f.name for f in fields(Pair))


class TooFewPairs(ValueError):
    """A task cannot go on for want of pairs; another task of the same run may."""


@dataclass(frozen=True)
class Pairs(Sequence[Pair]):
    """An immutable set of pairs with what is common to them.

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
        digest = hashlib.sha256()
        for pair in self:
            told: list[Any] = [] if pair.position is None else [pair.position]
            told += [pair.answer_sequence_ids] if pair.answer_sequence_ids else []
            digest.update(
                repr((pair.clean_ids, pair.corrupt_ids, pair.answer_ids, pair.wrong_answer_ids, *told)).encode()
            )
        return digest.hexdigest()[:16]

    def where(self, **wanted: Any) -> "Pairs":
        """The pairs whose fields are as wanted, in order, under the same header: ``where(subset="arxiv")``.

        Args:
            wanted: by the name of a field of :class:`Pair` the value it has, a list or set of values it may have, or a
                function that says of a value whether it is wanted.

        Raises:
            ValueError: a field that pairs do not have, a value of a type that it does not have.
        """
        for name in wanted:
            if name not in _FIELDS:
                raise ValueError(f"pairs have no field {name!r}; they have {', '.join(_FIELDS)}")
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
        return {"memcirc": {**self.header, "dropped": dict(self.dropped)}, "prompts": prompts}


def joined(*parts: Pairs) -> Pairs:
    """All pairs of several sets, as one; the first one's header without its split."""
    header = {key: value for key, value in parts[0].header.items() if key != "split"}
    return Pairs(tuple(pair for part in parts for pair in part), header)


def _test(name: str, wanted: Any) -> Callable[[Any], bool]:
    if callable(wanted):
        return wanted
    several = isinstance(wanted, list | set | frozenset)
    accepted = [_checked(name, value) for value in (wanted if several else [wanted])]
    return lambda value: value in accepted


_IDS_OF = {"clean": "clean_ids", "corrupt": "corrupt_ids", "answers": "answer_ids", "wrong_answers": "wrong_answer_ids"}
_ALTERNATIVES = ("answer_ids", "wrong_answer_ids", "answers", "wrong_answers")
_PROMPT_OF = {"answers": "clean", "wrong_answers": "corrupt"}


def load_pairs(path_or_dict: str | Path | Mapping[str, Any], model: Any = None, bos: bool = False) -> Pairs:
    """Read a file of pairs, ours or AutoCircuit's, in text or in ids.

    Args:
        path_or_dict: JSON file, or its content.
        model: a loaded model; needed for pairs that hold text alone, which is tokenized here, once: an answer behind
            the clean prompt, a wrong answer behind the corrupt one.
        bos: put the tokenizer's BOS token before text that is tokenized here (recorded in the header).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of pairs; no pair in it; text without a tokenizer, or BOS without a BOS token; and, with
            the pair's number, a field of another type, prompts of unequal length, an answer of text that is not one
            token behind its prompt.
    """
    if not isinstance(path_or_dict, str | Path | Mapping):
        raise ValueError(f"a file of pairs or its content is needed, not a {type(path_or_dict).__name__}")
    content = path_or_dict if isinstance(path_or_dict, Mapping) else _read(Path(path_or_dict))
    name = "pairs" if isinstance(path_or_dict, Mapping) else str(path_or_dict)
    prompts, header = content.get("prompts"), content.get("memcirc", {})
    if not isinstance(prompts, list):
        raise ValueError(f"{name}: no list 'prompts' in it; a file of pairs is {SHAPE}")
    if not prompts:
        raise ValueError(f"{name}: the pair set is empty; at least one pair is needed")
    dropped = header.get("dropped", {}) if isinstance(header, Mapping) else None
    if not isinstance(dropped, Mapping):
        raise ValueError(f"{name}: 'memcirc' is an object with, if any, an object 'dropped' in it")
    header = {key: value for key, value in header.items() if key != "dropped"}
    if any("clean_ids" not in p and isinstance(p.get("clean"), str) for p in prompts if isinstance(p, Mapping)):
        header["bos"] = bos
    return Pairs(tuple(_pair(prompt, i, model, bos) for i, prompt in enumerate(prompts)), header, dropped)


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no file of pairs at {path}")
    return read_object(path)


def _pair(prompt: Any, index: int, model: Any, bos: bool) -> Pair:
    try:
        if not isinstance(prompt, Mapping):
            raise ValueError(f"an object is needed, not {prompt!r:.60}")
        return Pair(**_in_ids({k: v for k, v in prompt.items() if k in _FIELDS and v is not None}, model, bos))
    except ValueError as error:
        raise ValueError(f"pair {index}: {error}") from None


def _in_ids(given: dict[str, Any], model: Any, bos: bool) -> dict[str, Any]:
    """The fields of a pair with all its ids, be they in their own fields, in those of the text (as AutoCircuit has
    them), or tokenized here. An answer that stands alone is the only alternative."""
    known = {name: _only_one(name, value) for name, value in given.items()}
    for text, ids in _IDS_OF.items():
        if text not in known and ids not in known:
            raise ValueError(f"no {text!r}; a pair has ids, or {', '.join(_IDS_OF)}")
        if ids not in known and not _holds_text(known[text]):
            known[ids] = known.pop(text)
    lacking = [text for text, ids in _IDS_OF.items() if ids not in known]
    known |= {_IDS_OF[name]: _tokenized(name, known, model, bos) for name in lacking}
    return {name: _checked(name, value) for name, value in known.items()}


def _only_one(name: str, value: Any) -> Any:
    """An answer that stands alone, as a list of it; anything else as it is."""
    return [value] if name in _ALTERNATIVES and (isinstance(value, str) or type(value) is int) else value


def _holds_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list | tuple) and any(isinstance(v, str) for v in value))


def _tokenized(name: str, given: Mapping[str, Any], model: Any, bos: bool) -> tuple[int, ...]:
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        raise ValueError("holds text alone, so a model with a tokenizer is needed to read it")
    prompt = _PROMPT_OF.get(name, name)
    if _IDS_OF[prompt] in given:
        raise ValueError(f"{name!r} is text, and the prompt it follows has ids; give both alike")
    text = _checked_text(prompt, given[prompt])
    if name == prompt:
        return prompt_ids(tokenizer, text, bos)
    return tuple(answer_id(tokenizer, text, _checked_text(name, answer)) for answer in given[name])
