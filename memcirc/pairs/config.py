"""Configuration of the stage that makes contrastive pairs."""

from dataclasses import dataclass, field
from typing import TypedDict

from memcirc.config import at_least, check_fields, in_unit_interval, option

COMPLETION, TOKENS = ANSWERS = ("completion", "tokens")


class PairsOptions(TypedDict, total=False):
    """The fields of :class:`PairsConfig` besides the mode, as options of a function."""

    threshold: float
    low_threshold: float
    metric: str
    drop: float
    similarity: str
    use_divergence: bool
    answer: str
    twin_threshold: float
    lift: float
    trivial: str
    prior_prompts: int
    max_candidates: int
    contrastive_batch_size: int
    split_seed: int


@dataclass(frozen=True)
class PairsConfig:
    """Which passages become pairs, and how. ``contrastive_mode``: where recitation breaks off, memorized against not
    memorized, or the model against its twin; a run sets it for each of its tasks.

    Raises:
        ValueError: a threshold outside [0, 1], a low threshold above the high one, an unknown word.
    """

    contrastive_mode: str = field(default="divergence", metadata={"choices": ("divergence", "dataset", "learned")})
    threshold: float = option(0.75, "lowest score of a memorized passage")
    low_threshold: float = option(0.1, "highest score of a passage that is not memorized")
    metric: str = option("bleu", "score of passages and of continuations", choices=("bleu", "memorization"))
    drop: float = option(0.3, "relative drop of the score at a divergence point")
    similarity: str = option(
        "embedding", "what makes a passage that is not memorized alike", choices=("embedding", "jaccard")
    )
    use_divergence: bool = option(True, "dataset mode: cut both prompts at the divergence point")
    answer: str = option(
        COMPLETION, "learned mode: a pair a passage, or one a token that the twin does not know", choices=ANSWERS
    )
    twin_threshold: float = option(0.5, "learned mode: highest score of a learned passage under the twin")
    lift: float = option(0.5, "learned mode: nats a token by which the model must know an answer better than its twin")
    trivial: str = option("drop", "memorized passages that follow a trivial pattern", choices=("drop", "keep"))
    prior_prompts: int = option(4, "prompts of other documents behind which each completion is scored; 0 for none")
    max_candidates: int = option(20_000, "passages of low score to choose from; a seeded sample where there are more")
    contrastive_batch_size: int = option(64, "passages in one forward pass")
    split_seed: int = option(0, "seed of the split into train, validation and test")

    def __post_init__(self) -> None:
        check_fields(self)
        in_unit_interval(self, "threshold", "low_threshold", "twin_threshold", "drop")
        if self.low_threshold >= self.threshold:
            raise ValueError(f"low_threshold {self.low_threshold} must be below threshold {self.threshold}")
        at_least(self, 1, "contrastive_batch_size", "max_candidates")
        at_least(self, 0, "prior_prompts", "split_seed")
