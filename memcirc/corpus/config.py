"""Which documents become windows, and how."""

from dataclasses import dataclass

from memcirc.config import LARGEST, at_least, check_fields, option
from memcirc.corpus.subsets import is_subset, subset_name

WINDOWS_OF_A_DOCUMENT = ("first", "all")


@dataclass(frozen=True)
class PrepareConfig:
    """What `prepare` reads and cuts; each field is an option of the command line."""

    dataset: str = option(
        "timaeus/pile-wikipedia_en",
        "local file or folder (jsonl, json, txt, each also .zst or .gz, parquet), Pile subset, or data set on the hub",
    )
    subset: str | None = option(None, "keep documents of this Pile subset only")
    split: str | None = option(None, "split of a hub data set (default: train, or the only one)")
    text_column: str = option("text", "column that holds the text")
    tokens_column: str | None = option(
        None, "column that holds token ids, in place of text (default: tokens, if no text)"
    )
    prompt_tokens: int = option(50, "tokens of the prompt")
    generation_tokens: int = option(50, "tokens of the continuation")
    windows: str = option("first", "windows of a document: first, or all that do not overlap")
    bos: bool = option(False, "begin each window with BOS, counted as a token of the prompt")
    max_documents: int | None = option(None, "stop after this many documents")
    max_windows: int | None = option(None, "stop after this many distinct windows")
    sample: float = option(1.0, "share of the documents to take, by chance")
    seed: int = option(0, "seed of that chance")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.subset is not None:
            subset_name(self.subset)
        if self.windows not in WINDOWS_OF_A_DOCUMENT:
            raise ValueError(f"windows {self.windows!r}: accepted are {' and '.join(WINDOWS_OF_A_DOCUMENT)}")
        for name in ("prompt_tokens", "generation_tokens", "max_documents", "max_windows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} {value}: accepted is 1 or more")
        if self.tokens > LARGEST:
            raise ValueError(f"windows of {self.tokens} tokens: accepted are {LARGEST} at most")
        at_least(self, 0, "seed")
        if not 0 < self.sample <= 1:
            raise ValueError(f"sample {self.sample}: accepted is more than 0 and at most 1")

    @property
    def tokens(self) -> int:
        """Tokens of a window."""
        return self.prompt_tokens + self.generation_tokens

    @property
    def only_subset(self) -> str | None:
        """Exact name of the subset asked for, by option or as the data set."""
        asked = self.subset or (self.dataset if is_subset(self.dataset) else None)
        return None if asked is None else subset_name(asked)
