"""Running text for the checks that read more than one token: passages that are memorized, and passages that are not.

Where a model was scored beside its twin, a memorized passage is one that it has learned
(:mod:`memcirc.memorization.lift`).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from memcirc.config import names
from memcirc.memorization.lift import COMMON, LEARNED, TWIN, memory
from memcirc.memorization.stage import read_rows
from memcirc.options import refuse_keywords
from memcirc.pairs.record import Pair, Pairs
from memcirc.pairs.scored import token_array
from memcirc.pairs.similarity import shared_tokens

READ = ("doc_id", "copies", "subset", "token_lifts")
NEAR_CANDIDATES = 2000


def _no_passages() -> np.ndarray:
    return np.empty((0, 0), np.int64)


@dataclass(frozen=True, eq=False)
class Passages:
    """Token ids, int64 [passages, prompt + generation].

    ``memorized`` are recited (``copies`` in the corpus where known, else -1), ``others`` are the least memorized,
    ``ordinary`` a random draw of what is not memorized, disjoint from ``others``. ``windows``: all windows of the
    recited documents, by document. ``seen`` are memorized too, of other documents.

    Where a model was scored beside its twin, neither these nor ``ordinary`` and the rest hold what it has learned in
    part: text that is not memorized is known as well by the twin, up to ``Choice.lift`` nats a token. ``near`` are of
    that, each the one whose prompt is most alike that of a memorized passage, of the same subset where that is known;
    ``common`` are recited by both. ``alone``: chosen by scores of the model alone.
    """

    prompt_tokens: int
    memorized: np.ndarray
    copies: np.ndarray
    doc_ids: tuple[str, ...]
    others: np.ndarray
    ordinary: np.ndarray
    windows: Mapping[str, Sequence[tuple[int, ...]]] = field(default_factory=dict)
    seen: np.ndarray = field(default_factory=_no_passages)
    near: np.ndarray = field(default_factory=_no_passages)
    common: np.ndarray = field(default_factory=_no_passages)
    alone: bool = False

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


@dataclass(frozen=True)
class Choice:
    """Which passages are taken, and from which documents."""

    prompt_tokens: int
    documents: Collection[str]
    n_passages: int = 48
    seed: int = 0
    column: str = "memorization_score"
    threshold: float = 0.75
    twin_threshold: float = 0.5
    lift: float = 0.1


class ChoiceOptions(TypedDict, total=False):
    """What :func:`passages_of` takes by name: the fields of :class:`Choice` that have a default."""

    n_passages: int
    seed: int
    column: str
    threshold: float
    twin_threshold: float
    lift: float


def passages_of(
    table: pa.Table, prompt_tokens: int, documents: str | Collection[str] = (), **options: Unpack[ChoiceOptions]
) -> Passages:
    """Choose passages from a table of scores.

    Args:
        table: as :func:`memcirc.score` makes it, with ``doc_id``.
        documents: memorized passages are taken from these, or this one (the test split's); from all where it is empty.
        options: ``n_passages`` of each sort, ``seed``; from ``threshold`` of ``column`` on a passage is memorized,
            unless a twin's is above ``twin_threshold``; up to ``lift`` nats a token the twin knows it as well.

    Raises:
        ValueError: no memorized passage among the documents, or fewer than two that are not memorized.
    """
    refuse_keywords("passages_of", options, ChoiceOptions.__annotations__)
    column, width = options.get("column", Choice.column), len(table["tokens"][0]) if len(table) else 0
    if column not in table.column_names:
        raise ValueError(f"no column {column!r} among the scores; score with level full")
    if not 0 < prompt_tokens < width:
        raise ValueError(f"prompt_tokens {prompt_tokens}: passages have {width} tokens, a prompt has fewer, at least 1")
    rows = _choose(table, Choice(prompt_tokens, frozenset(names(documents)), **options))
    return _gathered(table, token_array(table), np.arange(len(table)), rows, prompt_tokens)


def passages_from(path: Path, choice: Choice) -> Passages:
    """The same from a file of scores, of which only the chosen rows' tokens are read.

    Raises:
        ValueError: as :func:`passages_of`.
    """
    names = pq.read_schema(path).names
    if choice.column not in names:
        raise ValueError(f"no column {choice.column!r} in {path}: score with --level full")
    wanted = (choice.column, TWIN + choice.column, *READ)
    table = pq.read_table(path, columns=[name for name in wanted if name in names])
    rows = _choose(table, choice)
    keep = np.zeros(len(table), dtype=bool)
    keep[np.concatenate(list(rows.values()))] = True
    return _gathered(table, token_array(read_rows(path, keep)), np.cumsum(keep) - 1, rows, choice.prompt_tokens)


def _choose(table: pa.Table, choice: Choice) -> dict[str, np.ndarray]:
    """Row numbers of each sort."""
    scores, doc_ids = table[choice.column].to_numpy(), np.array(_doc_ids(table))
    recited = np.flatnonzero(scores >= choice.threshold)
    learned, common, rest = recited, recited[:0], np.flatnonzero(scores < choice.threshold)
    if TWIN + choice.column in table.column_names:
        kinds = memory(scores, table[TWIN + choice.column].to_numpy(), choice.threshold, choice.twin_threshold)
        known = _lifts(table) <= choice.lift
        learned, common = np.flatnonzero(kinds == LEARNED), np.flatnonzero((kinds == COMMON) & known)
        rest = rest[known[rest]]
    wanted = np.isin(doc_ids[learned], list(choice.documents)) | (not choice.documents)
    memorized, seen = learned[wanted], learned[~wanted]
    if not len(memorized) or len(rest) < 2:
        better = " that the twin knows as well" if TWIN + choice.column in table.column_names else ""
        raise ValueError(
            f"{len(memorized)} memorized passages of the wanted documents and {len(rest)} others{better}; 1 and 2 are "
            "needed"
        )
    generator, n = np.random.default_rng(choice.seed), choice.n_passages
    memorized = np.sort(generator.permutation(memorized)[:n])
    lowest = rest[np.argsort(scores[rest], kind="stable")]
    others = lowest[: min(n, len(rest) // 2)]
    ordinary = generator.permutation(lowest[len(others) :])[:n]
    seen, common, candidates = (
        generator.permutation(rows)[:most] for rows, most in ((seen, n), (common, n), (rest, NEAR_CANDIDATES))
    )
    return {
        "recited": recited,
        "memorized": memorized,
        "others": others,
        "ordinary": ordinary,
        "seen": seen,
        "common": common,
        "near": candidates,
    }


def _gathered(
    table: pa.Table, tokens: np.ndarray, place: np.ndarray, rows: Mapping[str, np.ndarray], prompt_tokens: int
) -> Passages:
    """Passages of the chosen rows; ``place`` is where a row's tokens stand in ``tokens``."""
    doc_ids = _doc_ids(table)
    copies = table["copies"].to_pylist() if "copies" in table.column_names else [None] * len(table)
    windows: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for i in rows["recited"].tolist():
        windows[doc_ids[i]].append(tuple(tokens[place[i]].tolist()))
    memorized, candidates = rows["memorized"], rows["near"]
    subsets = np.array(table["subset"].to_pylist() if "subset" in table.column_names else [None] * len(table))
    alike = _alike(*(tokens[place[some], :prompt_tokens] for some in (memorized, candidates)))
    same_form = subsets[memorized, None] == subsets[None, candidates]
    nearest = np.unique((alike + same_form).argmax(1))
    return Passages(
        prompt_tokens,
        tokens[place[memorized]],
        np.array([-1 if copies[i] is None else copies[i] for i in memorized], dtype=np.int64),
        tuple(doc_ids[i] for i in memorized),
        tokens[place[rows["others"]]],
        tokens[place[rows["ordinary"]]],
        dict(windows),
        tokens[place[rows["seen"]]],
        tokens[place[candidates[nearest]]],
        tokens[place[rows["common"]]],
        not any(name.startswith(TWIN) for name in table.column_names),
    )


def _lifts(table: pa.Table) -> np.ndarray:
    """float64 [passages]: by how many nats a token the model knows a completion better than its twin."""
    return np.array([np.mean(lifts) for lifts in table["token_lifts"].to_pylist()])


def _alike(prompts: np.ndarray, others: np.ndarray) -> np.ndarray:
    """float [prompts, others], 0 to 1: the share of their tokens that prompts have in common."""
    d_vocab = int(max(prompts.max(), others.max())) + 1
    return shared_tokens(prompts, others, d_vocab)(np.arange(len(prompts)), np.arange(len(others)))


def _doc_ids(table: pa.Table) -> list[str]:
    return table["doc_id"].to_pylist() if "doc_id" in table.column_names else [str(i) for i in range(len(table))]
