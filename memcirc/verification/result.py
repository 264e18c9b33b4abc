"""What a verification found, in memory and in its file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from memcirc.artifacts import finite
from memcirc.config import LONGEST_REPR, cut
from memcirc.schema import check_schema, with_schema
from memcirc.showing import Shown
from memcirc.verification.checks import CHECKS
from memcirc.verification.record import AnyRecord, OfPassages, Record

R = TypeVar("R", bound=Record)


@cache
def record_types() -> Mapping[str, type[AnyRecord]]:
    """The types of all checks' records by the key under which a file lists them, in the order of the checks."""
    return {record.KEY: record for check in CHECKS.values() for record in check.work.records}


@dataclass(frozen=True)
class Verification(Shown):
    """Every number with what it was measured under.

    ``statement`` names model, data, split, circuit and seed; ``records`` are those of all checks, ``refused`` says
    what could not be measured. The records of one type are ``verification.of(Curve)``, or by their key
    ``verification.curve``.
    """

    statement: Mapping[str, Any]
    records: tuple[AnyRecord, ...] = ()
    refused: tuple[str, ...] = ()

    def __repr__(self) -> str:
        counts = ((key, len(self.of(record))) for key, record in record_types().items())
        told = [f"{key} {n}" for key, n in counts if n]
        told += [f"refused {len(self.refused)}"] * bool(self.refused)
        told += [f"{key}={self.statement[key]!r}" for key in ("model", "n_pairs") if key in self.statement]
        return f"Verification({cut(', '.join(told), LONGEST_REPR)})"

    def of(self, record: type[R]) -> tuple[R, ...]:
        """The records of a type, in the order in which they were measured."""
        return tuple(each for each in self.records if isinstance(each, record))

    def __getattr__(self, key: str) -> Sequence[Any]:
        if key.startswith("_") or key not in record_types():
            raise AttributeError(f"a verification has no {key!r}")
        return self.of(record_types()[key])

    def merged(self, other: "Verification") -> "Verification":
        """One verification with the records and refusals of both, what is refused alike said once; where both state a
        fact, that of ``other``."""
        statement, refused = {**self.statement, **other.statement}, dict.fromkeys((*self.refused, *other.refused))
        return Verification(statement, (*self.records, *other.records), tuple(refused))

    def rows(self, record: type[AnyRecord]) -> list[dict[str, Any]]:
        """The records of a type as plain values, each with the evaluation card: model, revision, dtype, BOS, split,
        pairs, ablation, base, direction, selection, averaging and seed."""
        return [{**self._card(each), **each.to_json()} for each in self.of(record)]

    def to_json(self) -> dict[str, Any]:
        """The content as plain values, ready for a file: a list for each type of record."""
        listed = {key: self.rows(record) for key, record in record_types().items()}
        return dict(finite(with_schema({"statement": self.statement, **listed, "refused": self.refused})))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Verification":
        """The verification of a file.

        Raises:
            ValueError: not a verification, or a newer memcirc's; a record lacks a field.
        """
        if not isinstance(content, Mapping) or not isinstance(content.get("statement"), Mapping):
            raise ValueError("not a verification: no 'statement' in it; verify the circuits anew")
        check_schema(content, "a verification")
        listed = {key: content.get(key, []) for key in (*record_types(), "refused")}
        for key, rows in listed.items():
            kind = str if key == "refused" else Mapping
            if not isinstance(rows, list | tuple) or not all(isinstance(row, kind) for row in rows):
                raise ValueError(f"not a verification: {key!r} is no list of {kind.__name__}; verify the circuits anew")
        records = [record.from_json(row) for key, record in record_types().items() for row in listed[key]]
        return cls(content["statement"], tuple(records), tuple(listed["refused"]))

    def _card(self, record: AnyRecord) -> dict[str, Any]:
        told = self.statement
        origin = told.get("origin") or told.get("circuits", {}).get(record.mode, {}).get("origin", {})
        pairs = f"{told.get('n_pairs')} pairs ({told.get('data_fingerprint')})"
        return {
            **{key: told.get(key) for key in ("model", "revision", "dtype", "bos", "split")},
            "pairs": "passages of the split's documents" if isinstance(record, OfPassages) else pairs,
            "selection": f"{origin.get('selection', 'given')} by {origin.get('by', 'hand')}",
            **{key: told.get(key) for key in ("averaging", "seed")},
        }
