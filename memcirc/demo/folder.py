"""Where the parts of the embedded default lie."""

from dataclasses import dataclass
from pathlib import Path

from memcirc.demo.config import DemoConfig


@dataclass(frozen=True)
class Demo:
    """The folder of an embedded default, and the lengths it was made for."""

    folder: Path
    config: DemoConfig
    fingerprint: str

    @property
    def corpus_path(self) -> Path:
        """Lines of `text` and `meta`, a line per copy: what the model has learned."""
        return self.folder / "corpus.jsonl"

    @property
    def twin_corpus_path(self) -> Path:
        """The same for the twin: the lines of families replaced, all others at their places."""
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
    def record_path(self) -> Path:
        """What was made, with which libraries, and how long it took; written last."""
        return self.folder / "demo.json"

    @property
    def prompt_tokens(self) -> int:
        return self.config.prompt_tokens

    @property
    def generation_tokens(self) -> int:
        return self.config.generation_tokens
