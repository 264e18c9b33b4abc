"""The report of a run, from its artifacts alone: self-contained ``report.html``, ``report.md``, figures, tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, select_autoescape

from memcirc.artifacts import read_json, write_json, write_text
from memcirc.checkpoints import read_object
from memcirc.report import figures, verification_figures
from memcirc.report.drawing import Drawing, draw
from memcirc.report.files import RunFiles, TaskFiles
from memcirc.report.findings import Finding, recall_findings, task_findings
from memcirc.report.plotting import Figure
from memcirc.report.tables import markdown_table
from memcirc.report.verification_findings import transfer_findings, verification_findings
from memcirc.report.verification_tables import Table, card_line, tables_of

PAIRS_SHOWN = 6
TRANSFER_COLUMNS = ("circuit", "data", "mode", "direction", "n_edges", "n_pairs", "n_seen", "faithfulness",
                    "low", "high", "nothing", "everything", "note")  # fmt: skip


@dataclass(frozen=True)
class TaskSection:
    """What the page says of one task."""

    task: str
    about: str
    n_pairs: int
    dropped: dict[str, int]
    examples: list[dict[str, str]]
    findings: list[Finding]
    drawings: list[Drawing]
    tables: list[Table]
    refused: list[str]
    statement: dict[str, Any]


ABOUT = {
    "branch": "Branch decision: both prompts share a context; the clean one ends with the true next token, the corrupt "
    "one with the token the model says instead. Does the model go on reciting?",
    "memorization": "Memorization decision: clean is a memorized passage cut where recitation breaks off, so that its "
    "true next token (the wrong answer here) is withheld; corrupt is a passage that is not memorized, the most similar "
    "one after which the model does say that very token. Which way does the decision fall?",
}


def write_report(files: RunFiles, out: Path) -> Path:
    """Write the page, its figures and its tables into a folder and return the page's path."""
    shown = [section(task, of_task, out) for task, of_task in files.tasks.items()]
    drawings, findings = _corpus(files.scores, out)
    transfer = _transfer(files.transfer, out)
    content = {
        "title": "memcirc report",
        "config": files.config,
        "findings": [
            *findings,
            *(finding for part in shown for finding in part.findings),
            *transfer_findings(transfer.get("cells", ())),
            *(Finding(f"{task}: not run, {reason}.", False) for task, reason in files.absent.items()),
        ],
        "drawings": drawings,
        "sections": shown,
        "seconds": files.seconds,
        "transfer": transfer,
        "ground_truth": _ground_truth(files.ground_truth),
    }
    environment = Environment(
        loader=PackageLoader("memcirc.report"),
        autoescape=select_autoescape(("html.j2",)),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "markdown": markdown_table}
    for name in ("report.html", "report.md"):
        write_text(out / name, environment.get_template(f"{name}.j2").render(content))
    return out / "report.html"


def section(task: str, files: TaskFiles, out: Path) -> TaskSection:
    """Everything about one task."""
    pairs = read_json(files.pairs)
    verification = read_json(files.verification)
    circuits = {mode: _circuit(path) for mode, path in files.circuits.items()}
    for kind, rows in verification.items():
        if kind not in ("statement", "refused") and rows:
            write_json(out / "tables" / f"{task}_{kind}.json", rows)
    drawings = []
    points = [pair["divergence"] for pair in pairs["prompts"] if pair.get("divergence")]
    if points and task == "branch":
        drawings.append(
            draw(
                out,
                f"{task}_divergence",
                figures.divergence_histogram(points),
                f"Where recitation breaks off ({points.count(1)} of {len(points)} pairs after a single token).",
            )
        )
    drawings += [draw(out, f"{task}_{name}", *drawn) for name, drawn in _verified(verification, circuits).items()]
    for mode, circuit in circuits.items():
        drawn = figures.circuit_diagram(circuit["cfg"], circuit["scores"])
        hidden = circuit["n_edges"] - figures.MOST_EDGES_DRAWN
        tail = f" The {figures.MOST_EDGES_DRAWN} highest-scored are drawn." if hidden > 0 else ""
        caption = f"The minimal circuit, mode {mode}: {circuit['n_edges']} edges, width by |score|.{tail}"
        drawings.append(draw(out, f"{task}_circuit_{mode}", drawn, caption))
    return TaskSection(
        task=task,
        about=ABOUT.get(task.split("@")[0], "Pairs given by the user."),
        n_pairs=len(pairs["prompts"]),
        dropped=pairs["memcirc"].get("dropped", {}),
        examples=[_example(pair) for pair in _spread(pairs["prompts"])],
        findings=[*task_findings(task, verification, circuits), *verification_findings(task, verification)],
        drawings=drawings,
        tables=tables_of(verification),
        refused=verification["refused"],
        statement=verification["statement"],
    )


def _verified(
    verification: Mapping[str, Any], circuits: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[Figure, str]]:
    """The figures of a verification by name, each with its caption; a check that was not made has none."""
    sizes = {mode: c["n_edges"] for mode, c in circuits.items()}
    target = next(iter(circuits.values()))["target"]
    drawn: dict[str, tuple[Figure, str]] = {}
    curves = [curve for curve in verification["curve"] if curve["ablation"] == "resample"]
    if curves:
        drawn["curves"] = (
            figures.faithfulness_curves(curves, sizes, target),
            "Faithfulness on test pairs of the ranking's first n edges, with its 95 % interval over documents; "
            "left, beside uniform random circuits of n edges. Vertical line: the minimal circuit's size, chosen on "
            f"validation; dotted: its target {target}.",
        )
    if len(curves) < len(verification["curve"]):
        drawn["ablations"] = (
            verification_figures.ablation_curves(verification["curve"], target),
            "The same prefixes under every ablation, each with its own ends.",
        )
    for name, figure, rows, caption in (
        ("random", verification_figures.random_comparison, "random",
         "The circuit beside random circuits of its size; shared: mean share of its edges that they have as well."),
        ("stability", lambda rows: verification_figures.stability_figure(rows, verification["methods"]), "stability",
         "Left: faithfulness with its 95 % bootstrap interval over documents. Right: how much of the circuit is "
         "found again from resampled training documents, from other splits, by other methods."),
        ("dissociation", verification_figures.dissociation, "specificity",
         "Knocking the circuit out (its edges carry their mean over ordinary text): the loss this adds for each "
         "kind of text. A memorization circuit raises the first bar alone."),
        ("recitation", verification_figures.recitation, "generation",
         "Greedy completions of memorized passages with only some edges intact, the rest carrying another passage's "
         "run."),
        ("later", verification_figures.later_tokens, "time",
         "Does what initiates recitation maintain it? The onset's circuit on the tokens after the branch."),
        ("dose", verification_figures.dose_figure, "dose",
         "Dose and response inside the circuit: the mean metric by copies of the document in the corpus."),
    ):  # fmt: skip
        if verification[rows]:
            drawn[name] = (figure(verification[rows]), caption)
    return drawn


def _transfer(path: Path | None, out: Path) -> dict[str, Any]:
    """The run's transfer matrices, between tasks and, where measured, between subsets; empty where there are none."""
    if path is None:
        return {}
    content = read_json(path)
    write_json(out / "tables" / "transfer.json", content["cells"])
    families: dict[str, list[Mapping[str, Any]]] = {}
    for cell in content["cells"]:
        family = cell["circuit"].split("@")[0] + " subsets" if "@" in cell["circuit"] else "tasks"
        families.setdefault(family, []).append(cell)
    drawings = [
        draw(
            out,
            "transfer_" + name.replace(" ", "_"),
            verification_figures.transfer_matrices(cells),
            f"Transfer, {name}: circuits (rows) on test pairs (columns), each with that data's own ends; below each "
            "number its 95 % interval over documents, where there are enough of them.",
        )
        for name, cells in families.items()
    ]
    return {
        "drawings": drawings,
        "cells": content["cells"],
        "refused": content["refused"],
        "card": card_line(content["cells"]),
        "columns": TRANSFER_COLUMNS,
    }


def _ground_truth(path: Path | None) -> Table | None:
    """How well edge scores find the circuits of compiled programs, where that was measured."""
    if path is None:
        return None
    columns = ("program", "ablation", "method", "objective", "n_pairs", "n_edges", "graph_edges", "auc", "signed_auc",
               "recall_at_size")  # fmt: skip
    rows = read_object(path).get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= set(columns) for row in rows):
        raise ValueError(
            f"{path} is damaged; without it the page leaves ground truth out, `verify --full` makes it anew"
        )
    about = (
        "Two programs compiled to transformers (Tracr), whose circuits are known. auc: probability that an edge of "
        "the known circuit outranks one outside it, by mean absolute scores; signed auc: by the size of mean "
        "scores; recall at size: share of the known circuit among as many highest edges."
    )
    return Table("ground_truth", "Ground truth: circuits that are known", columns, rows, about, card_line(rows))


def _circuit(path: Path) -> dict[str, Any]:
    """A circuit's file, cut down to what the page needs."""
    content = read_json(path)
    scores = {name: edge["score"] for name, edge in content["edges"].items() if edge["in_graph"]}
    return {**content["memcirc"], "cfg": content["cfg"], "scores": scores, "graph_edges": len(content["edges"])}


def _corpus(path: Path | None, out: Path) -> tuple[list[Drawing], list[Finding]]:
    """The dose-response curve, where the corpus knows its copies, and what it says."""
    if path is None:
        return [], []
    names = pq.read_schema(path).names
    table = pq.read_table(path, columns=[n for n in ("exact", "memorization_score", "copies") if n in names])
    exact = table["exact"].to_pylist()
    scores = table["memorization_score"].to_pylist() if "memorization_score" in names else []
    copies = table["copies"].to_pylist() if "copies" in table.column_names else [None] * len(table)
    known = [i for i, c in enumerate(copies) if c is not None]
    drawings = []
    if known and scores:
        planted = [int(copies[i] or 0) for i in known]
        drawn = figures.dose_response(planted, [exact[i] for i in known], [scores[i] for i in known])
        caption = (
            "Dose and response: how often a document stands in the training corpus, and how much of it is recited."
        )
        drawings.append(draw(out, "dose_response", drawn, caption))
    return drawings, recall_findings(copies, exact)


def _spread(prompts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A few pairs, evenly over the file."""
    step = max(1, len(prompts) // PAIRS_SHOWN)
    return prompts[::step][:PAIRS_SHOWN]


def _example(pair: dict[str, Any]) -> dict[str, str]:
    """A pair as text: what both prompts share, and what follows in each."""
    clean, corrupt = pair.get("clean", ""), pair.get("corrupt", "")
    shared = "".join(a for a, _ in takewhile(lambda both: both[0] == both[1], zip(clean, corrupt, strict=False)))
    about = [pair.get("subset", ""), pair.get("doc_id", "")]
    about += [f"{pair['copies']} copies"] if pair.get("copies") else []
    about += [f"diverges after {pair['divergence']} tokens"] if pair.get("divergence") else []
    about += [f"similarity {pair['similarity']:.2f}"] if pair.get("similarity") is not None else []
    return {
        "about": " · ".join(part for part in about if part),
        "shared": shared,
        "clean": clean[len(shared) :],
        "corrupt": corrupt[len(shared) :],
        "answer": " / ".join(pair.get("answers", [])),
        "wrong_answer": " / ".join(pair.get("wrong_answers", [])),
    }


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
