"""What the IOI study runs on."""

from dataclasses import dataclass, field

from memcirc.config import at_least, check_fields


@dataclass(frozen=True)
class IoiConfig:
    """The options of ``memcirc patch ioi``: model, pairs of prompts and what is drawn of them.

    Raises:
        ValueError: a field of another type or out of range, or fields that contradict each other.
    """

    model_name: str = field(
        default="",
        metadata={"help": "hub name or local folder; default: a small model trained here", "flags": ("--model",)},
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps"})
    n_pairs: int = field(default=24, metadata={"help": "pairs of prompts"})
    top_heads: int = field(default=4, metadata={"help": "heads of either sign whose attention is drawn"})
    heads: str = field(
        default="", metadata={"help": "further heads whose attention is drawn, LAYER.HEAD with commas between them"}
    )
    every_head: bool = field(
        default=False, metadata={"help": "queries and keys by position of all heads, not only of those with an effect"}
    )
    seed: int = field(default=0, metadata={"help": "seed of prompts and training"})
    steps: int = field(default=280, metadata={"help": "optimiser steps of the small model"})
    clean_prompt: str = field(default="", metadata={"help": "a factual pair of your own: the clean prompt"})
    corrupt_prompt: str = field(default="", metadata={"help": "the corrupt prompt, of as many tokens"})
    answer: str = field(default="", metadata={"help": "the clean prompt's answer, one token"})
    wrong_answer: str = field(default="", metadata={"help": "the corrupt prompt's answer, one token"})

    def __post_init__(self) -> None:
        check_fields(self)
        at_least(self, 2, "n_pairs")
        at_least(self, 1, "top_heads", "steps")
        at_least(self, 0, "seed")
        self.chosen_heads()
        own = [bool(text) for text in (self.clean_prompt, self.corrupt_prompt, self.answer, self.wrong_answer)]
        if any(own) and not all(own):
            raise ValueError(
                "a pair of prompts needs all of --clean_prompt, --corrupt_prompt, --answer, --wrong_answer"
            )
        if any(own) and not self.model_name:
            raise ValueError("a pair of prompts needs --model: the small model knows nothing but names")

    def chosen_heads(self) -> list[tuple[int, int]]:
        """Layer and head of those that the user names."""
        found = []
        for text in filter(None, self.heads.split(",")):
            layer, _, head = text.strip().partition(".")
            if not (layer.isdigit() and head.isdigit()):
                raise ValueError(f"head {text!r} is not LAYER.HEAD, such as 9.6")
            found.append((int(layer), int(head)))
        return found
