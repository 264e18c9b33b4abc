"""How a work list is done; nothing here changes a result."""

from dataclasses import dataclass

from memcirc.config import at_least, check_fields, option
from memcirc.work.shards import Shard

DEATHS = 5
"""How often a unit is given to another worker when the one that did it has died."""


@dataclass(frozen=True)
class Execution:
    """Who does the units of a run: this process, processes of this machine, Ray actors, or this process as one shard
    of several.

    Raises:
        ValueError: an unknown executor, a shard that is none, or a shard with an executor that hands out the units.
    """

    executor: str = option(
        "local",
        "this process, several of one machine (small models on the CPU), or Ray actors (RAY_ADDRESS)",
        choices=("local", "processes", "ray"),
    )
    shard: str = option("", "do the units of shard i/n alone (0-based), or auto: from Slurm's or torchrun's variables")
    workers: int | None = option(
        None, "processes (default: one a core, up to 8), or Ray actors (one a GPU, else one for two cores)"
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.workers is not None:
            at_least(self, 1, "workers")
        if self.shard and self.executor != "local":
            raise ValueError(
                f"--shard {self.shard} with --executor {self.executor}, which hands out the units itself; choose one"
            )
        _ = self.part

    @property
    def part(self) -> Shard | None:
        """The shard that this process is, None for all of the work."""
        return Shard.parse(self.shard) if self.shard else None
