"""Contrastive pairs from scored passages.

``divergence`` (the branch decision), for a passage that diverges after L tokens, where the truth goes on with t and
the model says g: clean = passage[:L] + t, corrupt = passage[:L] + g; answer = the next true token, wrong answer = what
the model says after g. Both prompts share their first L tokens.

``dataset`` (the memorization decision), for a memorized passage m and the most similar passage u that is not:

1. with divergence data, m diverging at d with t = m[d]: u is taken from the passages with u[d] = t of which the model,
   given u[:d], does say t. Clean = m[:d], corrupt = u[:d], answer = g (what the model says after m[:d]), wrong answer
   = t: the same token, once withheld and once said;
2. without: clean = m's prompt, corrupt = u's prompt, the answers are the model's next tokens behind them; each u
   serves once, in the order of m's score, then of its row.

Memorized passages of trivial text are left out first, unless asked for. Then degenerate pairs are dropped, the text is
added, and the runtime gate has the last word. Every dropped passage is counted with its reason.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa

from memcirc.memorization.divergence import DivergencePoint, divergence_points, next_tokens
from memcirc.models import Model
from memcirc.options import refuse_keywords
from memcirc.pairs.config import PairsConfig
from memcirc.pairs.gate import gate
from memcirc.pairs.record import Pair, Pairs, TooFewPairs
from memcirc.pairs.similarity import most_similar, most_similar_unused, similarity

SCORE_COLUMN = {"bleu": "bleu4", "memorization": "memorization_score"}


def make_pairs(
    model: Model,
    table: pa.Table,
    points: Sequence[DivergencePoint | None] | None = None,
    mode: str = "divergence",
    **options: Any,
) -> Pairs:
    """Make pairs of passages scored by :func:`memcirc.score`.

    Args:
        table: a row a passage; ``doc_id``, ``subset``, ``family`` and ``copies`` are carried over where there are such
            columns.
        points: divergence points of the same passages, found here when not given (dataset mode with
            ``use_divergence=False`` needs none).
        mode: ``divergence`` or ``dataset``.
        options: fields of :class:`PairsConfig` by name.

    Returns:
        the pairs; ``.dropped`` counts what was left out, by reason.

    Raises:
        ValueError: no passage reaches the threshold; its subclass TooFewPairs: none is below the low one, or no pair is
            left (all name the counts).
    """
    refuse_keywords("make_pairs", options, (f.name for f in fields(PairsConfig)))
    config = PairsConfig(contrastive_mode=mode, **options)
    if SCORE_COLUMN[config.metric] not in table.column_names:
        raise ValueError(f"no column {SCORE_COLUMN[config.metric]!r} among the scores; score with level full")
    scored = _Scored(model, table, config)
    if scored.memorized.size == 0:
        raise ValueError(
            f"no passage reaches threshold {config.threshold}: the highest {config.metric} score of "
            f"{len(table)} passages is {max(scored.scores, default=0.0):.3f}"
        )
    needs_points = config.contrastive_mode == "divergence" or config.use_divergence
    if points is None and needs_points:
        points = scored.find_points()
    dropped: Counter[str] = Counter()
    if config.trivial == "drop":
        scored.drop_trivial(dropped)
    if config.contrastive_mode == "divergence":
        candidates = _branch_pairs(scored, points or (), dropped)
    elif config.use_divergence:
        candidates = _withheld_pairs(scored, points or (), dropped)
    else:
        candidates = _prompt_pairs(scored, dropped)
    items = list(_distinct(candidates, dropped))
    pairs = gate(
        Pairs(tuple(items), _header(model, config, scored.bos), dropped), lambda ids: model.hooked(ids.to(model.device))
    )
    if not len(pairs):
        reasons = ", ".join(f"{count} {reason}" for reason, count in pairs.dropped.items())
        raise TooFewPairs(f"the pair set is empty: of {scored.memorized.size} memorized passages, {reasons or 'none'}")
    return replace(pairs, items=tuple(_with_text(model, pair) for pair in pairs))


class _Scored:
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
        self.low = low_rows(self.scores, config)

    def require_low(self) -> None:
        """Raises TooFewPairs when no passage counts as not memorized."""
        if not self.low.size:
            lowest = float(self.scores.min())
            raise TooFewPairs(
                f"no passage has a {self.config.metric} score of at most low_threshold {self.config.low_threshold}: "
                f"the lowest of {len(self.scores)} is {lowest:.3f}; raise --low_threshold, or --metric memorization"
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
                dropped["no divergence point"] += 1
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


def _column(table: pa.Table, name: str, default: list[Any]) -> list[Any]:
    return table[name].to_pylist() if name in table.column_names else default


def _branch_pairs(scored: _Scored, points: Sequence[DivergencePoint | None], dropped: Counter[str]) -> Iterator[Pair]:
    for row, point in scored.diverging(points, dropped):
        truth, said = point.true_continuation, point.model_continuation
        if len(truth) < 2:
            dropped["passage ends at its divergence point"] += 1
            continue
        context = scored.prompt(row, point.length)
        yield Pair(
            clean_ids=(*context, truth[0]),
            corrupt_ids=(*context, said[0]),
            answer_ids=(truth[1],),
            wrong_answer_ids=(said[1],),
            divergence=point.length,
            score_before=point.score_before,
            score_after=point.score_after,
            **scored.origin(row),
        )


def _withheld_pairs(scored: _Scored, points: Sequence[DivergencePoint | None], dropped: Counter[str]) -> Iterator[Pair]:
    scored.require_low()
    config, low = scored.config, scored.low
    n, batch_size = scored.prompt_tokens, config.contrastive_batch_size
    diverging = list(scored.diverging(points, dropped))
    if not diverging:
        return
    said = next_tokens(scored.model, scored.tokens[low], batch_size)
    memorized_prompts = scored.tokens[[row for row, _ in diverging], :n]
    alike = similarity(scored.model, memorized_prompts, scored.tokens[low, :n], config.similarity, batch_size)
    wanted: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, (_, point) in enumerate(diverging):
        wanted[point.length, point.true_continuation[0]].append(i)
    found: dict[int, tuple[int, float]] = {}
    for (d, token), members in wanted.items():
        fits = np.flatnonzero((scored.tokens[low, d] == token) & (said[:, d] == token))
        if fits.size:
            best, values = most_similar(alike, np.array(members), fits)
            found.update(zip(members, zip(low[best].tolist(), values.tolist(), strict=True), strict=True))
    for i, (row, point) in enumerate(diverging):
        if i not in found:
            dropped["no passage of low score says the same token there"] += 1
            continue
        other, value = found[i]
        d = point.length
        yield Pair(
            clean_ids=scored.prompt(row, d),
            corrupt_ids=scored.prompt(other, d),
            answer_ids=(point.model_continuation[0],),
            wrong_answer_ids=(point.true_continuation[0],),
            corrupt_doc_id=scored.doc_ids[other],
            divergence=d,
            score_before=point.score_before,
            score_after=point.score_after,
            similarity=value,
            **scored.origin(row),
        )


def _prompt_pairs(scored: _Scored, dropped: Counter[str]) -> Iterator[Pair]:
    scored.require_low()
    config, low, n = scored.config, scored.low, scored.prompt_tokens
    prompts = scored.tokens[:, :n]
    alike = similarity(
        scored.model, prompts[scored.memorized], prompts[low], config.similarity, config.contrastive_batch_size
    )
    involved = np.union1d(scored.memorized, low)
    said = np.full(len(prompts), -1)
    if involved.size:
        windows = scored.tokens[involved, : n + 1]
        said[involved] = next_tokens(scored.model, windows, config.contrastive_batch_size)[:, n]
    matches = most_similar_unused(alike, len(scored.memorized), len(low))
    for row, match in zip(scored.memorized.tolist(), matches, strict=True):
        if match is None:
            dropped["no unused passage of low score"] += 1
            continue
        best, value = match
        other = int(low[best])
        yield Pair(
            clean_ids=scored.prompt(row, n),
            corrupt_ids=scored.prompt(other, n),
            answer_ids=(int(said[row]),),
            wrong_answer_ids=(int(said[other]),),
            corrupt_doc_id=scored.doc_ids[other],
            similarity=value,
            **scored.origin(row),
        )


def _distinct(candidates: Iterator[Pair], dropped: Counter[str]) -> Iterator[Pair]:
    """Without pairs that contrast nothing, and each pair once."""
    seen = set()
    for pair in candidates:
        key = (pair.clean_ids, pair.corrupt_ids, pair.answer_ids, pair.wrong_answer_ids)
        if pair.clean_ids == pair.corrupt_ids:
            dropped["clean and corrupt coincide"] += 1
        elif pair.answer_ids == pair.wrong_answer_ids:
            dropped["answer and wrong answer coincide"] += 1
        elif key in seen:
            dropped["same pair twice"] += 1
        else:
            seen.add(key)
            yield pair


def _header(model: Model, config: PairsConfig, bos: bool) -> dict[str, Any]:
    return {**model.statement(), **asdict(config), "bos": bos}


def _with_text(model: Model, pair: Pair) -> Pair:
    return replace(
        pair,
        clean=model.decode(pair.clean_ids),
        corrupt=model.decode(pair.corrupt_ids),
        answers=tuple(model.decode([i]) for i in pair.answer_ids),
        wrong_answers=tuple(model.decode([i]) for i in pair.wrong_answer_ids),
    )
