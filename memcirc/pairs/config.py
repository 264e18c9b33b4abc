"""Configuration of the stage that makes contrastive pairs."""

from dataclasses import dataclass, field
from typing import Literal

from memcirc.config import at_least, choice, in_unit_interval


@dataclass(frozen=True)
class PairsConfig:
    """Which passages become pairs, and how.

    Raises:
        ValueError: a threshold outside [0, 1], a low threshold above the high one, an unknown word.
    """

    contrastive_mode: Literal["divergence", "dataset"] = field(
        default="divergence", metadata={"help": "where recitation breaks off, or memorized against not memorized"}
    )
    threshold: float = field(default=0.75, metadata={"help": "lowest score of a memorized passage"})
    low_threshold: float = field(default=0.1, metadata={"help": "highest score of a passage that is not memorized"})
    metric: Literal["bleu", "memorization"] = field(
        default="bleu", metadata={"help": "score of passages and of continuations"}
    )
    drop: float = field(default=0.3, metadata={"help": "relative drop of the score at a divergence point"})
    similarity: Literal["embedding", "jaccard"] = field(
        default="embedding", metadata={"help": "what makes a passage that is not memorized alike"}
    )
    use_divergence: bool = field(
        default=True, metadata={"help": "dataset mode: cut both prompts at the divergence point"}
    )
    contrastive_batch_size: int = field(default=64, metadata={"help": "passages in one forward pass"})
    split_seed: int = field(default=0, metadata={"help": "seed of the split into train, validation and test"})

    def __post_init__(self) -> None:
        choice(self, "contrastive_mode", "divergence", "dataset")
        choice(self, "metric", "bleu", "memorization")
        choice(self, "similarity", "embedding", "jaccard")
        in_unit_interval(self, "threshold", "low_threshold", "drop")
        if self.low_threshold >= self.threshold:
            raise ValueError(f"low_threshold {self.low_threshold} must be below threshold {self.threshold}")
        at_least(self, 1, "contrastive_batch_size")
