"""What the study of latent thoughts runs on."""

from dataclasses import dataclass, field

from memcirc.config import at_least, check_fields


@dataclass(frozen=True)
class LatentConfig:
    """The options of ``memcirc patch latent``: model or adapter, pairs of questions, width of intervals.

    Raises:
        ValueError: a field of another type or out of range, or fields that contradict each other.
    """

    adapter: str = field(
        default="",
        metadata={
            "help": "a model of your own: FILE.py:FUNCTION that returns a LatentTask (default: one trained here)"
        },
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps"})
    n_pairs: int = field(default=40, metadata={"help": "pairs of questions for each operation they differ in"})
    seed: int = field(default=0, metadata={"help": "seed of questions and training"})
    half_width: float = field(
        default=0.05, metadata={"help": "half width of a 95 %% interval to which sample sizes are computed"}
    )

    def __post_init__(self) -> None:
        check_fields(self)
        at_least(self, 1, "n_pairs")
        at_least(self, 0, "seed")
        if not 0 < self.half_width < 0.5:
            raise ValueError(f"half_width {self.half_width} is outside (0, 0.5)")
        if self.adapter and ":" not in self.adapter:
            raise ValueError(f"adapter {self.adapter!r} must be FILE.py:FUNCTION")
