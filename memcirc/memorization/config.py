"""Configuration of the scoring stage."""

from dataclasses import dataclass, field

from memcirc.config import at_least


@dataclass(frozen=True)
class ScoreConfig:
    """How passages are scored.

    Raises:
        ValueError: a batch size that is neither ``auto`` nor a number of at least 1.
    """

    mem_batch_size: str = field(
        default="auto", metadata={"help": "passages in one forward pass, or auto", "flags": ("--batch_size",)}
    )
    json: bool = field(default=False, metadata={"help": "write the scores as JSON, too"})

    def __post_init__(self) -> None:
        if self.mem_batch_size != "auto" and not self.mem_batch_size.isdecimal():
            raise ValueError(f"mem_batch_size {self.mem_batch_size!r} is neither 'auto' nor a number")
        at_least(self, 1, "batch_size")

    @property
    def batch_size(self) -> int:
        """``auto`` is 64: the plan of batches must not depend on the machine."""
        return 64 if self.mem_batch_size == "auto" else int(self.mem_batch_size)
