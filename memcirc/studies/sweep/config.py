"""What a sweep on given prompts runs on."""

from dataclasses import dataclass, field

from memcirc.config import check_fields


@dataclass(frozen=True)
class SweepConfig:
    """The options of ``memcirc patch sweep``: models, pairs, sites and metric.

    Raises:
        ValueError: a field of another type or out of range, or fields that contradict each other.
    """

    model_name: str = field(
        default="", metadata={"help": "hub name or local folder of the model", "flags": ("--model",)}
    )
    path: str = field(
        default="",
        metadata={"help": "JSON file of pairs, AutoCircuit's or memcirc's, in text or ids", "flags": ("--pairs",)},
    )
    sites: str = field(
        default="block_every", metadata={"help": "a sweep's name, or hook names with commas between them"}
    )
    direction: str = field(
        default="denoise",
        metadata={"help": "clean values into the corrupt run, or the reverse", "choices": ("denoise", "noise")},
    )
    metric: str = field(default="logit_diff", metadata={"help": "what is measured and drawn"})
    source_model: str = field(default="", metadata={"help": "take the values from this model (default: the same)"})
    normalize: bool = field(default=True, metadata={"help": "0 for the base run, 1 for the source run"})
    bos: bool = field(default=False, metadata={"help": "put BOS before prompts that are text"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps"})

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.model_name or not self.path:
            raise ValueError("a sweep needs --model and --pairs")
