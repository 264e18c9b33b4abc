"""Running text for the checks that read more than one token: passages that are memorized, and passages that are not."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from memcirc.pairs.record import Pair, Pairs


@dataclass(frozen=True, eq=False)
class Passages:
    """Token ids, int64 [passages, prompt + generation].

    ``memorized`` are recited (``copies`` in the corpus where known, else -1), ``others`` are the least memorized,
    ``ordinary`` a random draw of what is not memorized, disjoint from ``others``. ``windows``: all
    windows of the memorized documents, by document.
    """

    prompt_tokens: int
    memorized: np.ndarray
    copies: np.ndarray
    doc_ids: tuple[str, ...]
    others: np.ndarray
    ordinary: np.ndarray
    windows: Mapping[str, Sequence[tuple[int, ...]]] = field(default_factory=dict)

    def truth_after(self, pair: Pair) -> tuple[int, ...] | None:
        """How a pair's clean prompt goes on in its document; None where no window of that begins with it."""
        for tokens in self.windows.get(pair.doc_id, ()):
            if tokens[: len(pair)] == pair.clean_ids:
                return tokens[len(pair) :]
        return None

    def pairs(self, ids: np.ndarray, corrupt: np.ndarray | None = None) -> Pairs:
        """Each passage's prompt with its true completion as a teacher-forced answer; the corrupt prompt is that of
        ``corrupt`` (default: ``others``), row by row, from the start again where it is shorter."""
        source = self.others if corrupt is None else corrupt
        n = self.prompt_tokens
        items = []
        for row, tokens in enumerate(ids.tolist()):
            other = source[row % len(source)].tolist()
            items.append(
                Pair(
                    clean_ids=tuple(tokens[:n]),
                    corrupt_ids=tuple(other[:n]),
                    answer_ids=(tokens[n],),
                    wrong_answer_ids=(other[n],),
                    answer_sequence_ids=tuple(tokens[n:]),
                )
            )
        return Pairs(tuple(items))


def passages_of(
    table: pa.Table,
    prompt_tokens: int,
    documents: Collection[str],
    n_passages: int = 48,
    seed: int = 0,
    column: str = "memorization_score",
    threshold: float = 0.75,
) -> Passages:
    """Choose passages from a table of scores.

    Args:
        table: as :func:`memcirc.score` makes it, with ``doc_id``.
        documents: memorized passages are taken from these (the test split's); from all where it is empty.
        threshold: of ``column``: from it on a passage is memorized.

    Raises:
        ValueError: no memorized passage among the documents, or fewer than two that are not memorized.
    """
    tokens = np.array(table["tokens"].to_pylist(), dtype=np.int64).reshape(len(table), -1)
    scores = table[column].to_numpy()
    doc_ids = _texts(table, "doc_id", [str(i) for i in range(len(table))])
    copies = _texts(table, "copies", [None] * len(table))
    windows: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    recited = np.flatnonzero(scores >= threshold).tolist()
    for i in recited:
        windows[doc_ids[i]].append(tuple(tokens[i].tolist()))
    generator = np.random.default_rng(seed)
    memorized = np.array([i for i in recited if not documents or doc_ids[i] in documents], dtype=np.int64)
    rest = np.flatnonzero(scores < threshold)
    if not len(memorized) or len(rest) < 2:
        raise ValueError(
            f"{len(memorized)} memorized passages of the wanted documents and {len(rest)} others; 1 and 2 are needed"
        )
    memorized = np.sort(generator.permutation(memorized)[:n_passages])
    lowest = rest[np.argsort(scores[rest], kind="stable")]
    others = lowest[: min(n_passages, len(rest) // 2)]
    ordinary = generator.permutation(lowest[len(others) :])[:n_passages]
    return Passages(
        prompt_tokens,
        tokens[memorized],
        np.array([-1 if copies[i] is None else copies[i] for i in memorized], dtype=np.int64),
        tuple(doc_ids[i] for i in memorized),
        tokens[others],
        tokens[ordinary],
        dict(windows),
    )


def _texts(table: pa.Table, name: str, default: Sequence[Any]) -> Sequence[Any]:
    values: Sequence[Any] = table[name].to_pylist() if name in table.column_names else default
    return values
