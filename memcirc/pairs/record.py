"""The record of a contrastive pair, and the file that keeps many.

Two prompts of equal length that differ in what the model goes on to say: ``answer`` after the clean one,
``wrong_answer`` after the corrupt one. Token ids are the truth; the text beside them is for people. The file has
AutoCircuit's shape (``{"prompts": [{"clean", "corrupt", "answers", "wrong_answers"}]}``) with ids and provenance
added, so its users' files load here and ours load there.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, overload

from memcirc.artifacts import write_json


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
        for name in ("clean_ids", "corrupt_ids", "answer_ids", "wrong_answer_ids", "answer_sequence_ids"):
            object.__setattr__(self, name, tuple(int(i) for i in getattr(self, name)))
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

    @property
    def shared_prefix(self) -> int:
        """How many leading tokens clean and corrupt have in common."""
        differs = (i for i, (a, b) in enumerate(zip(self.clean_ids, self.corrupt_ids, strict=True)) if a != b)
        return next(differs, len(self))


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
        object.__setattr__(self, "items", tuple(self.items))

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

    def split(self, fractions: tuple[float, float, float] = (0.5, 0.25, 0.25), seed: int = 0) -> "tuple[Pairs, ...]":
        """Train, validation and test, none of which shares a document or a context with another
        (:func:`memcirc.pairs.splits.split`)."""
        from memcirc.pairs.splits import split

        return split(self, fractions, seed)

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


_TEXT_FIELDS = ("clean", "corrupt", "answers", "wrong_answers")
_FIELDS = {f.name for f in fields(Pair)}


def load_pairs(path_or_dict: str | Path | Mapping[str, Any], model: Any = None, bos: bool = False) -> Pairs:
    """Read a file of pairs, ours or AutoCircuit's.

    Args:
        path_or_dict: JSON file, or its content.
        model: a loaded model; needed for pairs that hold text alone, which is tokenized here, once.
        bos: put the tokenizer's BOS token before text that is tokenized here (recorded in the header).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of pairs; no pair in it; text without a tokenizer; prompts of unequal length (names the
            pair); an answer of text that is not one token.
    """
    content = path_or_dict if isinstance(path_or_dict, Mapping) else _read(Path(path_or_dict))
    prompts = content.get("prompts")
    if not isinstance(prompts, list):
        raise ValueError(f"{_name(path_or_dict)}: no list 'prompts' in it; a file of pairs has one")
    if not prompts:
        raise ValueError(f"{_name(path_or_dict)}: the pair set is empty; at least one pair is needed")
    header = dict(content.get("memcirc", {}))
    dropped = header.pop("dropped", {})
    if any("clean_ids" not in prompt for prompt in prompts):
        header["bos"] = bos
    return Pairs(tuple(_pair(prompt, i, model, bos) for i, prompt in enumerate(prompts)), header, dropped)


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no file of pairs at {path}")
    try:
        content = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a JSON object with 'prompts' is needed, not a {type(content).__name__}")
    return content


def _name(path_or_dict: Any) -> str:
    return "pairs" if isinstance(path_or_dict, Mapping) else str(path_or_dict)


def _pair(prompt: Mapping[str, Any], index: int, model: Any, bos: bool) -> Pair:
    known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in prompt.items() if k in _FIELDS}
    if "clean_ids" not in known:
        missing = [name for name in _TEXT_FIELDS if name not in known]
        if missing:
            raise ValueError(f"pair {index}: no {missing[0]!r}; a pair has ids, or {', '.join(_TEXT_FIELDS)}")
        known |= _tokenized(known, index, model, bos)
    try:
        return Pair(**known)
    except (ValueError, TypeError) as error:
        raise ValueError(f"pair {index}: {error}") from None


def _tokenized(text: Mapping[str, Any], index: int, model: Any, bos: bool) -> dict[str, tuple[int, ...]]:
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        raise ValueError(f"pair {index}: holds text alone, so a model with a tokenizer is needed to read it")
    prefix = (tokenizer.bos_token_id,) if bos else ()

    def encode(string: str) -> tuple[int, ...]:
        return tuple(tokenizer(string, add_special_tokens=False)["input_ids"])

    def one_token(string: str) -> int:
        ids = encode(string)
        if len(ids) != 1:
            raise ValueError(f"pair {index}: answer {string!r} is {len(ids)} tokens; an alternative is one token")
        return ids[0]

    return {
        "clean_ids": prefix + encode(text["clean"]),
        "corrupt_ids": prefix + encode(text["corrupt"]),
        "answer_ids": tuple(one_token(a) for a in text["answers"]),
        "wrong_answer_ids": tuple(one_token(a) for a in text["wrong_answers"]),
    }
