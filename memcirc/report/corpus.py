"""What the corpus says before any circuit: how much is recited, by copies, and where recitation breaks off."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from memcirc.memorization.lift import COMMON, LEARNED, MEMORIES, NOT_RECITED, TWIN, memory
from memcirc.pairs.scored import SCORE_COLUMN
from memcirc.report.drawing import Drawing, draw
from memcirc.report.figures import CHANCE, FOUND, INK, styled
from memcirc.report.plotting import Figure
from memcirc.report.sections import Finding, Section
from memcirc.statistics import wilson

MOSTLY = 0.5
FALLS = 0.02


def corpus_sections(scores: Path, config: Mapping[str, Any], out: Path) -> list[Section]:
    """How much is recited, with the dose-response curve where the corpus knows its copies; of a model with a twin also
    what of it was learned.

    Args:
        config: the section ``pairs`` of the run's configuration.
    """
    names = pq.read_schema(scores).names
    table = pq.read_table(scores, columns=[n for n in ("exact", "memorization_score", "copies") if n in names])
    exact, copies = _recalled(table)
    known = [i for i, c in enumerate(copies) if c is not None]
    drawings: tuple[Drawing, ...] = ()
    if known and "memorization_score" in names:
        shares = table.column("memorization_score").to_pylist()
        planted = [int(copies[i] or 0) for i in known]
        drawn = dose_response(planted, [exact[i] for i in known], [shares[i] for i in known])
        caption = (
            "Dose and response: how often a document stands in the training corpus, and how much of it is recited."
        )
        drawings = (draw(out, "dose_response", drawn, caption),)
    recited = Section("What is recited", findings=tuple(recall_findings(copies, exact)), drawings=drawings)
    return [recited, *learned_sections(scores, config, out)]


def recited(scores: Path | None) -> str:
    """A sentence on what is recited, word for word, and how that depends on copies; nothing without scores."""
    if scores is None:
        return ""
    names = pq.read_schema(scores).names
    exact, copies = _recalled(pq.read_table(scores, columns=[n for n in ("exact", "copies") if n in names]))
    shares = _by_copies(copies, exact)
    if not shares:
        return f"The model recites {np.mean(exact):.1%} of {len(exact)} passages word for word."
    most, least = max(shares), min(shares)
    half = min((level for level, share in shares.items() if share >= MOSTLY), default=most)
    parts = [f"{shares[level]:.0%} of those that stand there {_times(level)}" for level in sorted({least, half, most})]
    return f"Of {len(exact)} passages of its training text the model recites word for word {', '.join(parts)}."


def _times(copies: int) -> str:
    return {0: "never", 1: "once"}.get(copies, f"{copies} times")


def _recalled(table: pa.Table) -> tuple[list[bool], list[int | None]]:
    """Of each passage whether it is recited, and its copies."""
    copies = table.column("copies").to_pylist() if "copies" in table.column_names else [None] * len(table)
    return table.column("exact").to_pylist(), copies


def _by_copies(copies: Sequence[int | None], exact: Sequence[bool]) -> dict[int, float]:
    """The share that is recited exactly, for each number of copies."""
    known = [(c, e) for c, e in zip(copies, exact, strict=True) if c is not None]
    return {level: float(np.mean([e for c, e in known if c == level])) for level in sorted({c for c, _ in known})}


def learned_sections(scores: Path, config: Mapping[str, Any], out: Path) -> list[Section]:
    """What the model recites and its twin does not, and by how much the model knows passages better, by copies; nothing
    of a model without a twin."""
    column, names = SCORE_COLUMN[config.get("metric", "bleu")], pq.read_schema(scores).names
    if TWIN + column not in names or "token_lifts" not in names:
        return []
    wanted = (column, TWIN + column, "token_lifts", "copies")
    table = pq.read_table(scores, columns=[name for name in wanted if name in names])
    own, twins = (table[name].to_numpy() for name in (column, TWIN + column))
    kinds = memory(own, twins, config["threshold"], config["twin_threshold"])
    lifts = np.array([np.mean(row) for row in table["token_lifts"].to_pylist()])
    counts = {kind: int((kinds == kind).sum()) for kind in MEMORIES}
    means = {kind: float(lifts[kinds == kind].mean()) for kind in MEMORIES if counts[kind]}
    better = ", ".join(f"{kind} {mean:.2f}" for kind, mean in means.items())
    text = (
        f"Of {len(kinds)} windows the model recites {counts[LEARNED]} that its twin does not (learned) and "
        f"{counts[COMMON]} that its twin recites as well (common); {counts[NOT_RECITED]} are not recited. It knows "
        f"them better than its twin by so many nats a token: {better}."
    )
    found = (Finding(text, counts[LEARNED] > 0),)
    copies = table["copies"].to_pylist() if "copies" in table.column_names else []
    if None in copies or not copies:
        return [Section("What was learned", findings=found)]
    caption = (
        "How much better the model knows a passage than its twin (nats a token: median, quartiles, "
        "and 5th to 95th percentile), by how often it stands in the training corpus."
    )
    drawing = draw(out, "lift", lift_by_copies(copies, lifts), caption)
    return [Section("What was learned", findings=found, drawings=(drawing,))]


@styled
def lift_by_copies(copies: Sequence[int], lifts: np.ndarray) -> Figure:
    """The spread of the lift a token, for each number of copies in the corpus."""
    levels = sorted(set(copies))
    groups = [lifts[np.array(copies) == level] for level in levels]
    figure = Figure(figsize=(5.2, 2.8))
    axes = figure.subplots()
    ink = {f"{part}props": {"color": INK} for part in ("box", "whisker", "cap")}
    axes.boxplot(groups, whis=(5, 95), showfliers=False, medianprops={"color": FOUND}, widths=0.5, **ink)
    axes.axhline(0, color=CHANCE, linewidth=0.8, linestyle="--")
    labels = [f"{level}\nn = {len(group)}" for level, group in zip(levels, groups, strict=True)]
    axes.set_xticks(range(1, len(levels) + 1), labels)
    axes.set(xlabel="copies in the corpus", ylabel="lift, nats a token")
    return figure


def recall_findings(copies: Sequence[int | None], exact: Sequence[bool]) -> list[Finding]:
    """A line on whether exact recitation rises with a document's copies in the corpus."""
    shares = _by_copies(copies, exact)
    if not shares:
        return [Finding(f"{np.mean(exact):.1%} of {len(exact)} windows are recited exactly.")]
    text = ", ".join(f"{share:.0%} at {level}" for level, share in shares.items())
    rising = all(shares[a] <= shares[b] + FALLS for a, b in pairwise(shares))
    asked = f"threshold: it falls by at most {FALLS} as copies rise"
    return [Finding(f"Exact recall by copies in the corpus: {text} ({asked}).", rising)]


@styled
def dose_response(copies: Sequence[int], exact: Sequence[bool], scores: Sequence[float]) -> Figure:
    """Copies in the corpus against recall: the share recited exactly (95 % Wilson intervals), and the mean score."""
    levels = sorted(set(copies))
    groups = [[i for i, c in enumerate(copies) if c == level] for level in levels]
    shares = [float(np.mean([exact[i] for i in rows])) for rows in groups]
    means = [float(np.mean([scores[i] for i in rows])) for rows in groups]
    bounds = [wilson(sum(exact[i] for i in rows), len(rows)) for rows in groups]
    errors = np.abs(np.array([[s - low, high - s] for s, (low, high) in zip(shares, bounds, strict=True)]).T)
    figure = Figure(figsize=(5.2, 3.1))
    axes = figure.subplots()
    x = np.arange(len(levels))
    axes.errorbar(x, shares, yerr=errors, color=FOUND, marker="o", capsize=3, label="recited exactly (95 % interval)")
    axes.plot(x, means, color=CHANCE, marker="s", linestyle="--", label="mean memorization score")
    axes.set_xticks(x, [f"{level}\nn = {len(rows)}" for level, rows in zip(levels, groups, strict=True)])
    axes.set(xlabel="copies in the corpus", ylabel="share", ylim=(-0.03, 1.03))
    axes.legend(frameon=False, loc="lower right")
    return figure


@styled
def divergence_histogram(points: Sequence[int]) -> Figure:
    """A histogram of the context lengths at which passages diverge."""
    figure = Figure(figsize=(5.2, 2.4))
    axes = figure.subplots()
    axes.hist(points, bins=[n + 0.5 for n in range(max(points) + 1)], color=FOUND, rwidth=0.85)
    axes.set(xlabel="tokens of context at which recitation breaks off", ylabel="pairs")
    return figure
