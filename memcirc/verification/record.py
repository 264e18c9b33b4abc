"""The records of checks: each holds how it was measured; one flat mapping in a file, typed in memory.

In a file a record is one mapping from names to plain values: how it was run (:class:`memcirc.interventions.Way`) beside
its own fields. No torch is needed to read one.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar

from memcirc.interventions import Way

R = TypeVar("R", bound="Record")
T = TypeVar("T")


class OfWay(Generic[T]):
    """An attribute of a record that its ``way`` holds, under the name given."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, record: "Record", _: type) -> T:
        value: T = getattr(record.way, self._name)
        return value


@dataclass(frozen=True, kw_only=True)
class Record:
    """One line of a check.

    ``KEY`` is the name under which a file lists the records of a type, ``TOLD`` which parts of ``way`` it writes.
    """

    KEY: ClassVar[str]
    TOLD: ClassVar[tuple[str, ...]]

    way: Way

    ablation = OfWay[str]("ablation")
    direction = OfWay[str]("direction")
    base = OfWay[str]("base")

    def to_json(self) -> dict[str, Any]:
        """The record as plain values."""
        own = (f.name for f in fields(self) if f.name != "way")
        return {name: getattr(self, name) for name in (*self.TOLD, *own)}

    @classmethod
    def from_json(cls: type[R], row: Mapping[str, Any]) -> R:
        """The record that :meth:`to_json` gave; what else stands in the row is passed over, and what an older version
        did not write has its default.

        Raises:
            ValueError: a field is missing.
        """
        own = [f for f in fields(cls) if f.name != "way"]
        needed = [f.name for f in own if f.default is MISSING and f.default_factory is MISSING]
        missing = [name for name in (*cls.TOLD, *needed) if name not in row]
        if missing:
            raise ValueError(f"a record of {cls.KEY!r} has no {missing[0]}; verify the circuits anew")
        return cls(way=cls._way(row), **{f.name: row[f.name] for f in own if f.name in row})

    @classmethod
    def _way(cls, row: Mapping[str, Any]) -> Way:
        return Way(row["mode"], row["ablation"], row["reverse"], metric=row["metric"])


class OfPairs(Record):
    """A record measured on pairs, in the mode of its circuit."""

    TOLD = ("mode", "ablation", "reverse", "direction", "base", "metric")

    mode = OfWay[str]("mode")
    reverse = OfWay[bool]("reverse")
    metric = OfWay[str]("metric")


@dataclass(frozen=True)
class OfPassages(Record):
    """A record measured on running text; ``mode`` is that in which the circuit was found, ``run_mode`` that in which it
    was run."""

    TOLD = ("run_mode", "ablation", "direction", "base")

    mode: str

    @classmethod
    def _way(cls, row: Mapping[str, Any]) -> Way:
        return Way(row["run_mode"], row["ablation"])

    run_mode = OfWay[str]("mode")


AnyRecord = OfPairs | OfPassages
