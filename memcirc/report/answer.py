"""The page's answer to its own question: a few plain sentences made from the numbers."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from memcirc.report.circuits import FoundCircuit
from memcirc.report.claims import Answer, ClaimTable
from memcirc.report.evidence import Evidence
from memcirc.report.tasks import words_of
from memcirc.report.words import act, edge_words, layer_of

LAYERS_NAMED = 3
SPECIFIC = {"specific, by the twin": "judged by the twin", "specific, by ordinary text": "judged by ordinary text"}
"""Claims, the sharper first, and what they judge by."""
DIGEST = r"-[0-9a-f]{8,}"
ENDING = r"(\.(jsonl?|txt|csv|parquet|arrow|gguf|gz|zst))+$"
PLAIN = ("model", "models", "checkpoint", "weights", "corpus", "data", "dataset", "text", "texts", "train", "runs")
"""Names that tell a reader nothing."""


def question(model: str | None, data: str | None) -> str:
    """What a run asks; a model and its text that are called alike are named once."""
    names = [called(name) if name else "" for name in (model, data)]
    who, what = (f" “{name}”" if name else "" for name in names)
    if data is None:
        return f"Which part of the language model{who} recites the given text?"
    which = "" if names[0] == names[1] or not what else f",{what}"
    return f"Which part of the language model{who} recites passages of its training text{which}?"


def called(name: str) -> str:
    """What a reader may call the model or text of a path or of a name on a hub: its end without digest and ending; of
    one that says only that it is a model or a text, its folder; nothing where that says no more."""
    parts = [re.sub(f"{DIGEST}|{ENDING}", "", part) for part in PurePath(name).parts[-2:]]
    return next((part for part in reversed(parts) if re.search(r"\w", part) and part.lower() not in PLAIN), "")


def answer(recited: str, found: Sequence[Evidence], table: ClaimTable) -> tuple[str, ...]:
    """What is recited; what the first task's circuits do, where the smallest of them lies, and whether they are
    specific to memorized text; the worst of all findings."""
    leading = [found[0].of_mode(mode) for mode in found[0].circuits] if found else []
    given = [{row.name: row.answers[i] for row in table.rows} for i in range(len(leading))]
    circuits = [next(iter(circuit.circuits.values())) for circuit in leading]
    both = list(zip(circuits, given, strict=True))
    told = [recited]
    if both:
        does = "; ".join(_does(circuit, answers) for circuit, answers in both)
        told += [
            f"{words_of(found[0].task).short} (task {found[0].task}): {does}.",
            _where(min(circuits, key=lambda circuit: circuit.n_edges)),
            " ".join(_specific(circuit, answers) for circuit, answers in both),
        ]
    return tuple(text.strip() for text in (*told, _worst(table)) if text.strip())


def _does(circuit: FoundCircuit, given: Mapping[str, Answer]) -> str:
    size = f"{circuit.n_edges} of {circuit.graph_edges} edges ({circuit.n_edges / circuit.graph_edges:.1%})"
    return f"a circuit of {size}, {act(circuit.way)}, {given['faithful'].text}, {given['beyond chance'].text}"


def _where(circuit: FoundCircuit) -> str:
    """Into which layers the edges lead, and the strongest of them."""
    if not circuit.scores:
        return ""
    into = Counter(layer_of(name.split("->")[1]) for name in circuit.scores)
    logits = into.pop(None, 0)
    most = into.most_common(LAYERS_NAMED)
    rest = into.total() - sum(count for _, count in most)
    named = [f"{count} into layer {layer}" for layer, count in most]
    named += [f"{rest} into other layers"] if rest else []
    named += [f"{logits} into the logits"] if logits else []
    parts = ", ".join(named[:-1]) + (" and " if named[1:] else "") + named[-1]
    parts = parts.replace(" into", " leads into" if parts.startswith("1 ") else " lead into", 1)
    strongest = max(circuit.scores, key=lambda name: abs(circuit.scores[name]))
    return (
        f"Where? Of the {circuit.n_edges} edges {parts} (layers are 0 to {circuit.n_layers - 1}); the strongest "
        f"runs {edge_words(strongest)}."
    )


def _specific(circuit: FoundCircuit, given: Mapping[str, Answer]) -> str:
    """By the twin, where there is one: the sharper test."""
    told = ((by, given[name]) for name, by in SPECIFIC.items() if name in given)
    by, row = next(((by, row) for by, row in told if row.holds is not None), ("", None))
    if row is None:
        return ""
    verdict = "is specific" if row.holds else "is not specific"
    return f"The circuit of {circuit.n_edges} edges {verdict} to memorized text, {by}: {row.text}."


def _worst(table: ClaimTable) -> str:
    if not table.columns:
        return "No circuit is verified yet."
    row = table.worst()
    if row is None:
        return table.counts()
    first = row.unmet[0]
    column, many = table.columns[first], f"{len(row.unmet)} of {len(row.answers)} circuits miss “{row.name}”"
    return f"The worst finding: {many}; {column.task} ({column.way}): {row.answers[first].text}. {table.counts()}"
