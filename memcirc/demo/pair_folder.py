"""Where the parts of a model and its twin lie that were made here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable


@runtime_checkable
class Lengths(Protocol):
    """What a configuration says of passages."""

    @property
    def prompt_tokens(self) -> int: ...

    @property
    def generation_tokens(self) -> int: ...


Config = TypeVar("Config", bound=Lengths)


@dataclass(frozen=True)
class PairFolder(Generic[Config]):
    """The folder of a model and its twin, and what they were made for."""

    folder: Path
    config: Config
    fingerprint: str

    @property
    def corpus_path(self) -> Path:
        """Lines of `text` and `meta`, a line per copy: what the model has learned."""
        return self.folder / "corpus.jsonl"

    @property
    def twin_corpus_path(self) -> Path:
        """The same for the twin: planted lines replaced, all others at their places."""
        return self.folder / "twin.jsonl"

    @property
    def model_dir(self) -> Path:
        """Hugging Face folder: weights, config, tokenizer."""
        return self.folder / "model"

    @property
    def twin_dir(self) -> Path:
        """Hugging Face folder of the same model without the planted text."""
        return self.folder / "twin"

    @property
    def prompt_tokens(self) -> int:
        return self.config.prompt_tokens

    @property
    def generation_tokens(self) -> int:
        return self.config.generation_tokens
