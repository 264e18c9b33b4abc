"""Scored passages as arrays: which of them are memorized, which are not, and what a pair carries over of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from memcirc.memorization.divergence import DivergencePoint, divergence_points
from memcirc.memorization.lift import LEARNED, TWIN, memory
from memcirc.models import Model
from memcirc.pairs.config import PairsConfig
from memcirc.pairs.record import TooFewPairs

NO_POINT = "no divergence point"
SCORE_COLUMN = {"bleu": "bleu4", "memorization": "memorization_score"}


class Scored:
    """The scored passages of one run, as arrays."""

    def __init__(self, model: Model, table: pa.Table, config: PairsConfig) -> None:
        self.model, self.config = model, config
        meta = table.schema.metadata or {}
        self.prompt_tokens = int(meta[b"prompt_tokens"])
        self.bos = meta.get(b"bos") == b"true"
        self.tokens = token_array(table)
        self.scores = table[SCORE_COLUMN[config.metric]].to_numpy()
        named = _column(table, "doc_id", list(range(len(table))))
        self.doc_ids = ["" if name is None else str(name) for name in named]
        self.subsets = _column(table, "subset", [""] * len(table))
        self.families = _column(table, "family", [""] * len(table))
        self.copies = _column(table, "copies", [None] * len(table))
        self.taxonomy = _column(table, "taxonomy", [""] * len(table))
        self.patterns = _column(table, "pattern", [None] * len(table))
        self.induction = _column(table, "induction", [None] * len(table))
        prior, own = (_column(table, name, [None] * len(table)) for name in ("prior_logprob", "logprob"))
        self.prior_lift = [None if p is None or o is None else o - p for p, o in zip(prior, own, strict=True)]
        order = np.lexsort((np.arange(len(table)), -self.scores))
        self.memorized = order[self.scores[order] >= config.threshold]
        self.of_twin = _numbers(table, TWIN + SCORE_COLUMN[config.metric])
        self.token_lifts = _column(table, "token_lifts", [None] * len(table))
        self.low = low_rows(self.scores, config)

    def require_low(self) -> None:
        """Raises TooFewPairs when no passage counts as not memorized."""
        if not self.low.size:
            raise TooFewPairs(
                f"no passage has a {self.config.metric} score of at most low_threshold {self.config.low_threshold}: "
                f"the lowest is {self.scores.min():.3f}; raise --low_threshold, or --metric memorization"
            )

    def keep_learned(self, dropped: Counter[str]) -> None:
        """Leave out memorized passages that the twin recites as well.

        Raises:
            ValueError: the passages were scored without a twin.
            TooFewPairs: none is left.
        """
        if self.of_twin is None:
            raise ValueError("the passages were scored without a twin, which mode 'learned' needs")
        config = self.config
        kinds = memory(self.scores, self.of_twin, config.threshold, config.twin_threshold)[self.memorized]
        common = int((kinds != LEARNED).sum())
        if common:
            dropped["the twin recites it, too"] += common
        best = self.of_twin[self.memorized].min(initial=1.0)
        self.memorized = self.memorized[kinds == LEARNED]
        if not self.memorized.size:
            raise TooFewPairs(
                f"nothing was learned: of {len(kinds)} passages that the model recites, the twin's lowest score is "
                f"{best:.3f}; at most twin_threshold {config.twin_threshold} is accepted"
            )

    def find_points(self) -> list[DivergencePoint | None]:
        """Divergence points of the memorized passages, None for all others."""
        n = self.prompt_tokens
        config = self.config
        found = divergence_points(
            self.model,
            self.tokens[self.memorized],
            n,
            self.tokens.shape[1] - n,
            config.metric,
            config.drop,
            config.contrastive_batch_size,
        )
        points: list[DivergencePoint | None] = [None] * len(self.tokens)
        for row, point in zip(self.memorized, found, strict=True):
            points[row] = point
        return points

    def drop_trivial(self, dropped: Counter[str]) -> None:
        """Leave out memorized passages that follow a trivial pattern, by the name of the pattern."""
        trivial = np.array([self.patterns[row] is not None for row in self.memorized], dtype=bool)
        for row in self.memorized[trivial]:
            dropped[f"trivial text: {self.patterns[row]}"] += 1
        self.memorized = self.memorized[~trivial]

    def diverging(
        self, points: Sequence[DivergencePoint | None], dropped: Counter[str]
    ) -> Iterator[tuple[int, DivergencePoint]]:
        for row in self.memorized:
            point = points[row]
            if point is None:
                dropped[NO_POINT] += 1
            else:
                yield int(row), point

    def prompt(self, row: int, length: int) -> tuple[int, ...]:
        return tuple(self.tokens[row, :length].tolist())

    def origin(self, row: int) -> dict[str, Any]:
        return {
            "doc_id": self.doc_ids[row],
            "subset": self.subsets[row] or "",
            "family": self.families[row] or "",
            "copies": self.copies[row],
            "taxonomy": self.taxonomy[row] or "",
            "induction": self.induction[row],
            "prior_lift": self.prior_lift[row],
        }


def token_array(table: pa.Table) -> np.ndarray:
    """int64 [passages, tokens] of a table's column ``tokens``."""
    flat = table["tokens"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.int64).reshape(len(table), -1 if len(table) else 0)


def low_rows(scores: np.ndarray, config: PairsConfig) -> np.ndarray:
    """Rows that count as not memorized, ascending; a seeded sample of ``max_candidates`` where there are more."""
    low = np.flatnonzero(scores <= config.low_threshold)
    if len(low) > config.max_candidates:
        low = np.sort(np.random.default_rng(config.split_seed).choice(low, config.max_candidates, replace=False))
    return low


def _numbers(table: pa.Table, name: str) -> np.ndarray | None:
    return table[name].to_numpy() if name in table.column_names else None


def _column(table: pa.Table, name: str, default: list[Any]) -> list[Any]:
    return table[name].to_pylist() if name in table.column_names else default
