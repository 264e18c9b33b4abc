"""Which part of the units is this process's? ``--shard i/n``, or what a job scheduler has put into the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

ARRAY = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")
TASKS = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"))


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``: the units whose number leaves that remainder.

    Raises:
        ValueError: an index outside 0..count - 1.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.index < self.count:
            raise ValueError(
                f"shard {self.index}/{self.count}: accepted are 0/{max(1, self.count)} to "
                f"{max(1, self.count) - 1}/{max(1, self.count)}"
            )

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def has(self, unit: int) -> bool:
        """Whether a unit belongs to this shard."""
        return unit % self.count == self.index

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] = os.environ) -> "Shard":
        """``i/n`` or ``auto``.

        torchrun's ranks count over all nodes and go before Slurm's tasks; in an array of jobs, each task of each job is
        a shard.

        Raises:
            ValueError: neither form, or ``auto`` where no scheduler has said anything.
        """
        if text == "auto":
            return cls._scheduled(environment)
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal()):
            raise ValueError(f"shard {text!r}: accepted are i/n with i from 0 to n - 1, and auto")
        return cls(int(index), int(count))

    @classmethod
    def _scheduled(cls, environment: Mapping[str, str]) -> "Shard":
        task = next((cls._of(environment, *names) for names in TASKS if names[0] in environment), None)
        if ARRAY[0] not in environment:
            if task is None:
                names = ", ".join(f"{index} and {count}" for index, count in (ARRAY, *TASKS))
                raise ValueError(f"shard auto: none of {names} is set; say --shard i/n")
            return task
        job = cls._job(environment)
        return job if task is None else cls(job.index * task.count + task.index, job.count * task.count)

    @classmethod
    def _of(cls, environment: Mapping[str, str], index: str, count: str) -> "Shard":
        if count not in environment:
            raise ValueError(f"shard auto: {index} is set, but {count} is not; say --shard i/n")
        return cls(int(environment[index]), int(environment[count]))

    @classmethod
    def _job(cls, environment: Mapping[str, str]) -> "Shard":
        """The job's place in its array, whose numbers must be evenly spaced: Slurm does not tell the others."""
        place, count = (int(environment.get(name, 0)) for name in ARRAY)
        first, step = (int(environment.get(f"SLURM_ARRAY_TASK_{name}", n)) for name, n in (("MIN", 0), ("STEP", 1)))
        last = int(environment.get("SLURM_ARRAY_TASK_MAX", first + step * (count - 1)))
        if count < 1 or last != first + step * (count - 1):
            raise ValueError(
                f"shard auto: an array of {count} jobs numbered {first} to {last} is not evenly spaced; "
                "submit one as 0-N, or say --shard i/n"
            )
        return cls((place - first) // step, count)
