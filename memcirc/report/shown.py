"""The public records as sections of a page, and these as HTML for a notebook (:mod:`memcirc.showing`)."""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import numpy as np
from markupsafe import Markup

from memcirc.attribution.scores import EdgeScores
from memcirc.circuit import Circuit
from memcirc.config import cut
from memcirc.memorization.scan import Scan
from memcirc.pairs.record import Pair, Pairs
from memcirc.patching.result import Sweep
from memcirc.report.sections import Section, TableBlock, environment
from memcirc.report.view import tables_of
from memcirc.report.words import edge_words
from memcirc.verification.result import Verification

SHOWN = 12
LONGEST = 60


def html_of(record: Any) -> str:
    """A record as HTML: a table that stands open, others folded, and what it states of itself."""
    templates = environment()
    templates.filters["unfolded"] = _unfolded
    return templates.get_template("shown.html.j2").render(section=section_of(record))


def _unfolded(table: Markup) -> Markup:
    """A folded table of the page, open."""
    return Markup(str(table).replace("<details", "<details open", 1))


@singledispatch
def section_of(record: Any) -> Section:
    """The section of a record; TypeError for one that has none."""
    raise TypeError(f"a {type(record).__name__} has no section of its own")


@section_of.register
def _(pairs: Pairs) -> Section:
    rows = [_pair(pair) for pair in pairs[:SHOWN]]
    columns = ("clean", "answer", "corrupt", "wrong answer", "document")
    dropped = ", ".join(f"{count} ({reason})" for reason, count in pairs.dropped.items())
    return Section(
        _counted(len(pairs), "pair"),
        (f"Left out: {dropped}.",) if dropped else (),
        tables=(TableBlock(columns, rows, _first(len(rows), len(pairs), "pair")),) if rows else (),
        facts=_stated(pairs.header),
        unfolds="What holds for all of them",
    )


def _pair(pair: Pair) -> dict[str, str]:
    return {
        "clean": _end(pair.clean or _ids(pair.clean_ids)),
        "answer": cut(pair.answer_sequence or " / ".join(pair.answers) or _ids(pair.answer_ids), LONGEST),
        "corrupt": _end(pair.corrupt or _ids(pair.corrupt_ids)),
        "wrong answer": cut(" / ".join(pair.wrong_answers) or _ids(pair.wrong_answer_ids), LONGEST),
        "document": pair.doc_id,
    }


def _end(text: str) -> str:
    """The end of a prompt, behind which the answer stands."""
    return text if len(text) <= LONGEST else f"...{text[3 - LONGEST :]}"


def _ids(ids: tuple[int, ...]) -> str:
    return " ".join(map(str, ids))


@section_of.register
def _(scores: EdgeScores) -> Section:
    order = scores.order()[:SHOWN].tolist()
    rows = [_edge(scores.graph.edges[i]) | {"score": float(scores.values[i])} for i in order]
    return Section(
        f"Scores of {_counted(scores.graph.n_edges, 'edge')}",
        ("Positive: ablating the edge lowers the objective.",),
        tables=(TableBlock(("edge", "runs", "score"), rows, _first(len(rows), scores.graph.n_edges, "edge")),),
        facts=_stated(scores.origin),
        unfolds="How they were made",
    )


@section_of.register
def _(circuit: Circuit) -> Section:
    rows = [_edge(name) for name in list(circuit)[:SHOWN]]
    block = TableBlock(("edge", "runs"), rows, _first(len(rows), len(circuit), "edge"))
    return Section(
        f"A circuit of {_counted(len(circuit), 'edge')}",
        tables=(block,) if rows else (),
        facts=_stated(circuit.origin),
        unfolds="Where it comes from",
    )


def _edge(name: str) -> dict[str, Any]:
    return {"edge": name, "runs": edge_words(name)}


@section_of.register
def _(verification: Verification) -> Section:
    told = verification.statement
    return Section(
        f"Verification of {told.get('model', 'a model')}'s circuit on {_counted(int(told.get('n_pairs', 0)), 'pair')}",
        tables=tuple(tables_of(verification)),
        refused=tuple(verification.refused),
        facts=_stated({key: value for key, value in told.items() if key != "circuits"}),
        unfolds="What these numbers were measured on",
    )


@section_of.register
def _(sweep: Sweep) -> Section:
    return Section(
        f"{_counted(len(sweep.patches), 'patch', 'patches')}, {sweep.direction}",
        tuple(f"{metric}: {base:.3f} in the base run, {source:.3f} in the source run."
              for metric, (base, source) in sweep.ends.items()),
        tables=tuple(_effects(sweep, metric) for metric in sweep.values),
        refused=sweep.notes,
    )  # fmt: skip


def _effects(sweep: Sweep, metric: str) -> TableBlock:
    """The patches with the strongest effects on a metric."""
    effects, what = sweep.effects(metric), f"effect on {metric}" if sweep.normalized else f"mean {metric}"
    order = np.argsort(-np.abs(np.nan_to_num(effects)), kind="stable")[:SHOWN]
    rows = [{"patch": sweep.patches[i].label, what: float(effects[i])} for i in order.tolist()]
    return TableBlock(("patch", what), rows, f"{metric}: {_first(len(rows), len(sweep.patches), 'patch', 'patches')}")


@section_of.register
def _(scan: Scan) -> Section:
    counts = [{"memorization score": f"at least {t:g}", "windows": n, "share": n / len(scan)}
              for t, n in scan.counts().items()]  # fmt: skip
    shown = scan.recited(0.0)[:SHOWN]
    columns = ("text", "offset", "prompt", "truth", "completion", "memorization_score")
    rows = [row | {key: cut(row[key], LONGEST) for key in ("prompt", "truth", "completion")} for row in shown]
    return Section(
        f"What {scan.model} recites of {_counted(scan.n_texts, 'text')}",
        (f"{_counted(len(scan), 'window')} with {scan.prompt_tokens} tokens given, {scan.generation_tokens} to be "
         f"recited; {_counted(scan.too_short, 'text')} too short for one.",),
        tables=(
            TableBlock(("memorization score", "windows", "share"), counts, "How much is recited"),
            TableBlock(columns, rows, "The windows that are recited best"),
        ),
    )  # fmt: skip


def _counted(n: int, one: str, many: str = "") -> str:
    return f"1 {one}" if n == 1 else f"{n:,} {many or one + 's'}"


def _first(shown: int, n: int, one: str, many: str = "") -> str:
    return f"All {_counted(n, one, many)}" if shown == n else f"The first {shown} of {_counted(n, one, many)}"


def _stated(facts: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What a record states of itself, where it states anything; long things in it are cut."""
    return {"": {key: cut(str(value), 200) for key, value in facts.items()}} if facts else {}
