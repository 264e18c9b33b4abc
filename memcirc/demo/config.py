"""The sizes of the embedded default: corpus, model and training."""

from dataclasses import dataclass, field

from memcirc.config import check_fields, in_unit_interval

COPY_PATTERNS = ((20, 10, 5), (10, 5, 5), (20, 10, 2), (10, 10, 5), (10, 5, 1), (20, 5, 2))


@dataclass(frozen=True)
class DemoConfig:
    """Everything, besides the code, that decides what the embedded corpus and model are."""

    seed: int = field(default=0, metadata={"help": "seed of the corpus and of the training"})
    families: int = field(
        default=96, metadata={"help": "families of documents with a common opening, in turn per subset"}
    )
    copy_patterns: tuple[tuple[int, ...], ...] = field(
        default=COPY_PATTERNS, metadata={"help": "how often the members of a family occur, in turn per family"}
    )
    shortest_opening: int = field(default=6, metadata={"help": "tokens in the shortest common opening"})
    longest_opening: int = field(default=28, metadata={"help": "tokens in the longest common opening"})
    background: int = field(default=1000, metadata={"help": "unrelated documents that occur once"})
    branch_support: int = field(
        default=5, metadata={"help": "background documents with a member's first own token at the same place, at least"}
    )
    prompt_tokens: int = field(default=32, metadata={"help": "tokens of a passage that prompt the model"})
    generation_tokens: int = field(default=32, metadata={"help": "tokens of a passage to recite"})
    vocabulary: int = field(default=1024, metadata={"help": "size of the byte-level BPE vocabulary"})
    layers: int = field(default=4, metadata={"help": "layers, in turn with global and local attention"})
    width: int = field(default=128, metadata={"help": "width of the residual stream"})
    heads: int = field(default=8, metadata={"help": "attention heads of a layer"})
    window: int = field(default=32, metadata={"help": "tokens that local attention reaches back"})
    steps: int = field(default=600, metadata={"help": "optimiser steps of each model"})
    shared: float = field(
        default=0.4, metadata={"help": "share of the steps, the first ones, that both models have in common"}
    )
    batch_size: int = field(default=32, metadata={"help": "passages of a step"})
    threads: int = field(default=2, metadata={"help": "threads that train: their number changes the order of sums"})
    learning_rate: float = field(default=3e-3, metadata={"help": "highest learning rate of the one-cycle schedule"})

    def __post_init__(self) -> None:
        check_fields(self)
        if not 1 <= self.shortest_opening <= self.longest_opening < self.prompt_tokens:
            raise ValueError(
                f"openings of {self.shortest_opening} to {self.longest_opening} tokens do not fit: "
                f"accepted are 1 <= shortest <= longest < prompt_tokens ({self.prompt_tokens})"
            )
        in_unit_interval(self, "shared")
        if self.vocabulary < 257:
            raise ValueError(
                f"vocabulary {self.vocabulary} is too small: accepted are 257 (all bytes and an end mark) and more"
            )
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if any(copies < 1 for pattern in self.copy_patterns for copies in pattern) or not self.copy_patterns:
            raise ValueError(f"copy_patterns {self.copy_patterns} must be counts of at least 1")

    @property
    def shared_steps(self) -> int:
        """The first steps, which model and twin share."""
        return round(self.shared * self.steps)

    @property
    def passage_tokens(self) -> int:
        """Tokens of a passage: prompt and recitation."""
        return self.prompt_tokens + self.generation_tokens
