"""Where the parts of the planting in a real model lie."""

from dataclasses import dataclass
from pathlib import Path

from memcirc.demo.real.config import RealConfig


@dataclass(frozen=True)
class RealDemo:
    """The folder of a real model with planted passages, and the lengths it was made for."""

    folder: Path
    config: RealConfig
    fingerprint: str

    @property
    def shipped_dir(self) -> Path:
        """Hugging Face folder of the model as shipped, from which both others start."""
        return self.folder / "shipped"

    @property
    def corpus_path(self) -> Path:
        """Lines of `text` and `meta` as in the embedded default, a line per copy: what the model has learned."""
        return self.folder / "corpus.jsonl"

    @property
    def twin_corpus_path(self) -> Path:
        """The same for the twin: planted lines replaced, all others at their places."""
        return self.folder / "twin.jsonl"

    @property
    def held_out_path(self) -> Path:
        """Lines of ordinary English that neither model has seen here."""
        return self.folder / "held-out.jsonl"

    @property
    def model_dir(self) -> Path:
        """Hugging Face folder: weights, config, tokenizer."""
        return self.folder / "model"

    @property
    def twin_dir(self) -> Path:
        """Hugging Face folder of the same model without the planted passages."""
        return self.folder / "twin"

    @property
    def record_path(self) -> Path:
        """What was made, with which libraries; written last."""
        return self.folder / "real.json"

    @property
    def prompt_tokens(self) -> int:
        return self.config.prompt_tokens

    @property
    def generation_tokens(self) -> int:
        return self.config.generation_tokens
