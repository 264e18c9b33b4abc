"""What the study of two models runs on."""

from dataclasses import dataclass, field

from memcirc.config import at_least, check_fields


@dataclass(frozen=True)
class PiiConfig:
    """The options of ``memcirc patch pii``: models and samples, or the seed of those trained here.

    Raises:
        ValueError: a field of another type or out of range, or fields that contradict each other.
    """

    target: str = field(
        default="", metadata={"help": "model that knows the answers (default: small models trained here)"}
    )
    control: str = field(default="", metadata={"help": "model of the same base that does not"})
    samples: str = field(
        default="",
        metadata={
            "help": "JSON list of {prompt, answer, and if known: copies, type, memorized (false: for comparison only)}"
        },
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps"})
    seed: int = field(default=0, metadata={"help": "seed of the documents and of training"})
    misaligned: bool = field(
        default=True, metadata={"help": "also show what a control of another initialisation does (small models only)"}
    )
    every_head: bool = field(
        default=False, metadata={"help": "single heads of every layer, not only where its attention has an effect"}
    )
    tokens: int = field(default=12, metadata={"help": "longest answer generated freely, in tokens"})

    def __post_init__(self) -> None:
        check_fields(self)
        given = [bool(value) for value in (self.target, self.control, self.samples)]
        if any(given) and not all(given):
            raise ValueError("models of your own need all of --target, --control and --samples")
        at_least(self, 1, "tokens")
        at_least(self, 0, "seed")

    @property
    def own_models(self) -> bool:
        """Whether the user gives both models."""
        return bool(self.target)
