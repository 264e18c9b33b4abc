"""What the module of a check offers to verification: the types of its records, and the jobs that measure them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from memcirc.verification.record import AnyRecord
from memcirc.verification.subject import Subject


@dataclass(frozen=True)
class Job:
    """One measurement: its name for the user, and a function that gives its records or raises ValueError for what
    cannot be measured."""

    label: str
    run: Callable[[], Iterable[AnyRecord]]


@dataclass(frozen=True)
class Work:
    """The work of a check.

    Attributes:
        records: the types of its records, in the order of a file.
        jobs: gives the jobs of a subject; a job that is refused does not stop the others.
    """

    records: tuple[type[AnyRecord], ...]
    jobs: Callable[[Subject], Iterator[Job]]

    @classmethod
    def whole(cls, record: type[AnyRecord], measure: Callable[[Subject], Iterable[AnyRecord]]) -> "Work":
        """The work of a check that is one job, named as its records are."""

        def jobs(subject: Subject) -> Iterator[Job]:
            yield Job(record.KEY, lambda: measure(subject))

        return cls((record,), jobs)
