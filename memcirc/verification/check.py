"""What the module of a check offers to verification: the types of its records, and the jobs that measure them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from memcirc.verification.record import AnyRecord
from memcirc.verification.subject import Outline, Subject


@dataclass(frozen=True)
class Job:
    """One measurement: its name for the user, and a function of a subject that gives its records, none where there is
    nothing to be measured, or raises ValueError for what cannot be measured. What it gives depends on no other job."""

    label: str
    run: Callable[[Subject], Iterable[AnyRecord]]


@dataclass(frozen=True)
class Work:
    """The work of a check.

    Attributes:
        records: the types of its records, in the order of a file.
        jobs: lists what is to be done of a subject, known by its outline; a job that is refused does not stop the
            others, jobs of one label that are refused alike are said once.
    """

    records: tuple[type[AnyRecord], ...]
    jobs: Callable[[Outline], Iterator[Job]]

    @classmethod
    def whole(cls, record: type[AnyRecord], measure: Callable[[Subject], Iterable[AnyRecord]]) -> "Work":
        """The work of a check that is one job, named as its records are."""

        def jobs(_: Outline) -> Iterator[Job]:
            yield Job(record.KEY, measure)

        return cls((record,), jobs)
