"""Configuration of the scoring stage."""

from dataclasses import dataclass

from memcirc.config import LARGEST, at_least, check_fields, option

LEVELS = {
    "exact": ("exact",),
    "logprob": ("exact", "logprob"),
    "completion": ("exact", "completion"),
    "full": ("exact", "logprob", "completion"),
}


@dataclass(frozen=True)
class ScoreConfig:
    """How passages are scored.

    Raises:
        ValueError: a batch size that is neither ``auto`` nor a number of at least 1, an unknown level, numbers out of
            range, prefix lengths that are no list of numbers.
    """

    mem_batch_size: str = option("auto", "passages in one forward pass, or auto", flags=("--batch_size",))
    level: str = option(
        "full",
        "which scores: exact (with prefix_match); logprob, completion (decoded), or full: with them",
        choices=tuple(LEVELS),
    )
    top_k: int = option(0, "tokens that sampling chooses among, for (n, p)-extraction; 0: all")
    temperature: float = option(1.0, "temperature of that sampling")
    samples: int = option(100, "n of (n, p)-extraction: samples drawn")
    probability: float = option(0.5, "p of (n, p)-extraction: how likely one of them hits")
    prefix_lengths: str = option(
        "",
        "also score behind the last L prompt tokens alone, for each L of a list: 8,16,32; with --bos, "
        "behind BOS and the last L - 1",
    )
    rerun_near_ties: bool = option(False, "score passages with a near-tie again, each alone")
    unit_windows: int = option(1024, "windows in one unit of work, which is resumed or given to a worker as a whole")
    json: bool = option(False, "write the scores as JSON, too")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.mem_batch_size != "auto" and not self.mem_batch_size.isdecimal():
            raise ValueError(f"mem_batch_size {self.mem_batch_size!r} is neither 'auto' nor a number")
        if self.mem_batch_size != "auto" and (len(self.mem_batch_size) > 10 or self.batch_size > LARGEST):
            raise ValueError(f"mem_batch_size {self.mem_batch_size[:40]!r}: accepted are auto and 1 to {LARGEST}")
        at_least(self, 1, "batch_size", "samples", "unit_windows")
        at_least(self, 0, "top_k")
        if not 0 < self.probability < 1:
            raise ValueError(f"probability is {self.probability}; accepted: between 0 and 1, both excluded")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}; accepted: above 0, and finite")
        _ = self.lengths

    @property
    def batch_size(self) -> int:
        """Passages in one forward pass: 64 for ``auto``, on every machine, since scores may depend on it by
        rounding."""
        return 64 if self.mem_batch_size == "auto" else int(self.mem_batch_size)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The prefix lengths, ascending."""
        words = [word.strip() for word in self.prefix_lengths.split(",") if word.strip()]
        if not all(word.isdecimal() and int(word) for word in words):
            raise ValueError(f"prefix_lengths {self.prefix_lengths!r}: accepted are numbers of tokens, as 8,16,32")
        return tuple(sorted({int(word) for word in words}))
