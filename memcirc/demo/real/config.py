"""The sizes of the planting in a real model."""

from dataclasses import dataclass, field

from memcirc.config import at_least, check_fields


@dataclass(frozen=True)
class RealConfig:
    """Everything, besides the code, the model as shipped and the installation of Python, that decides the result.

    Each line is trained on once, so a document is seen as often as it has copies, and steps and batch size say how many
    ordinary lines there are beside the planted ones.
    """

    seed: int = field(default=0, metadata={"help": "seed of the passages and of their order"})
    copies: tuple[int, ...] = field(default=(1, 2, 5, 10, 20), metadata={"help": "how often a planted passage occurs"})
    each: int = field(default=8, metadata={"help": "planted passages of each number of copies"})
    decoys: int = field(default=48, metadata={"help": "passages of the same grammars that both models see, once"})
    held_out: int = field(default=64, metadata={"help": "ordinary passages that no model sees"})
    prompt_tokens: int = field(default=32, metadata={"help": "tokens of a passage that prompt the model"})
    generation_tokens: int = field(default=32, metadata={"help": "tokens of a passage to recite"})
    steps: int = field(default=96, metadata={"help": "optimiser steps"})
    batch_size: int = field(default=8, metadata={"help": "passages of a step"})
    learning_rate: float = field(default=3e-4, metadata={"help": "learning rate behind the warm-up"})
    warmup: int = field(default=5, metadata={"help": "steps in which the learning rate rises"})
    threads: int = field(default=2, metadata={"help": "threads that train: their number changes the order of sums"})
    checkpoint_every: int = field(default=8, metadata={"help": "steps after which an interrupted training goes on"})

    def __post_init__(self) -> None:
        check_fields(self)
        at_least(self, 1, "each", "prompt_tokens", "generation_tokens", "steps", "batch_size", "warmup", "threads")
        at_least(self, 1, "checkpoint_every")
        at_least(self, 0, "seed", "decoys", "held_out")
        if not self.copies or min(self.copies) < 1:
            raise ValueError(f"copies {self.copies} must be counts of at least 1")
        if self.ordinary < 0:
            raise ValueError(
                f"steps {self.steps} of {self.batch_size} passages have no room for {self.planted_lines} planted lines "
                f"and {self.decoys} decoys: accepted are {self.planted_lines + self.decoys} passages and more"
            )

    @property
    def passage_tokens(self) -> int:
        """Tokens of a passage: prompt and recitation."""
        return self.prompt_tokens + self.generation_tokens

    @property
    def planted_lines(self) -> int:
        """Lines with a planted passage, every copy counted."""
        return self.each * sum(self.copies)

    @property
    def ordinary(self) -> int:
        """Lines of ordinary English."""
        return self.steps * self.batch_size - self.planted_lines - self.decoys
