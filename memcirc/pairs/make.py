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

``learned`` (what the model has learned and its twin has not): :mod:`memcirc.pairs.learned`.

Memorized passages of trivial text are left out first, unless asked for. Then degenerate pairs are dropped, the text is
added, and the runtime gate has the last word. Every dropped passage is counted with its reason.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Unpack

import numpy as np
import pyarrow as pa

from memcirc.memorization.divergence import DivergencePoint, next_tokens
from memcirc.models import Model
from memcirc.options import build, refuse_keywords
from memcirc.pairs.config import PairsConfig, PairsOptions
from memcirc.pairs.gate import gate
from memcirc.pairs.learned import gated, learned_pairs
from memcirc.pairs.record import Pair, Pairs, TooFewPairs
from memcirc.pairs.scored import NO_POINT, SCORE_COLUMN, Scored
from memcirc.pairs.similarity import most_similar, most_similar_unused, similarity


def make_pairs(
    model: Model,
    table: pa.Table,
    points: Sequence[DivergencePoint | None] | None = None,
    mode: str = "divergence",
    **options: Unpack[PairsOptions],
) -> Pairs:
    """Make pairs of passages scored by :func:`memcirc.score`.

    Args:
        table: a row a passage; ``doc_id``, ``subset``, ``family`` and ``copies`` are carried over where there are such
            columns.
        points: divergence points of the same passages, found here when not given (dataset mode with
            ``use_divergence=False`` needs none).
        mode: ``divergence``, ``dataset`` or, of a model beside its twin (:func:`memcirc.beside`), ``learned``.
        options: of :class:`PairsOptions`.

    Returns:
        the pairs; ``.dropped`` counts what was left out, by reason.

    Raises:
        TypeError: an option that there is not.
        ValueError: no passage reaches the threshold; its subclass TooFewPairs: none is below the low one, or no pair is
            left (all name the counts).
    """
    refuse_keywords("make_pairs", options, PairsOptions.__annotations__)
    return configured_pairs(model, table, points, build(PairsConfig, {"contrastive_mode": mode}, options))


def configured_pairs(
    model: Model, table: pa.Table, points: Sequence[DivergencePoint | None] | None, config: PairsConfig
) -> Pairs:
    """The same as a configuration says."""
    if SCORE_COLUMN[config.metric] not in table.column_names:
        raise ValueError(f"no column {SCORE_COLUMN[config.metric]!r} among the scores; score with level full")
    scored = Scored(model, table, config)
    if scored.memorized.size == 0:
        raise ValueError(
            f"no passage reaches threshold {config.threshold}: the highest {config.metric} score of "
            f"{len(table)} passages is {max(scored.scores, default=0.0):.3f}"
        )
    learned = config.contrastive_mode == "learned"
    if learned and model.twin is None:
        raise ValueError(f"mode 'learned' is about a model and its twin, and model {model.name!r} has none")
    needs_points = not learned and (config.contrastive_mode == "divergence" or config.use_divergence)
    if points is None and needs_points:
        points = scored.find_points()
    dropped: Counter[str] = Counter()
    if config.trivial == "drop":
        scored.drop_trivial(dropped)
    if learned:
        candidates = learned_pairs(scored, dropped)
    elif config.contrastive_mode == "divergence":
        candidates = _branch_pairs(scored, points or (), dropped)
    elif config.use_divergence:
        candidates = _withheld_pairs(scored, points or (), dropped)
    else:
        candidates = _prompt_pairs(scored, dropped)
    items = list(candidates if learned else _distinct(candidates, dropped))
    pairs = Pairs(tuple(items), _header(model, config, scored.bos), dropped)
    pairs = gated(pairs, model, config.lift) if learned else gate(pairs, model.logits)
    if not len(pairs):
        reasons = ", ".join(f"{count} {reason}" for reason, count in pairs.dropped.items())
        cut = config.contrastive_mode == "dataset" and config.use_divergence
        without = "; --no_use_divergence needs no such point" if cut and NO_POINT in pairs.dropped else ""
        raise TooFewPairs(
            f"the pair set is empty: of {scored.memorized.size} memorized passages, {reasons or 'none'}{without}"
        )
    return replace(pairs, items=tuple(_with_text(model, pair) for pair in pairs))


def _branch_pairs(scored: Scored, points: Sequence[DivergencePoint | None], dropped: Counter[str]) -> Iterator[Pair]:
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


def _withheld_pairs(scored: Scored, points: Sequence[DivergencePoint | None], dropped: Counter[str]) -> Iterator[Pair]:
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


def _prompt_pairs(scored: Scored, dropped: Counter[str]) -> Iterator[Pair]:
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
        answer_sequence=model.decode(pair.answer_sequence_ids) if pair.answer_sequence_ids else "",
    )
