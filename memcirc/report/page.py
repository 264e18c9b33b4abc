"""The report of a run, from its artifacts alone: self-contained ``report.html``, ``report.md``, figures, tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, select_autoescape

from memcirc.artifacts import read_json, write_json, write_text
from memcirc.report import figures
from memcirc.report.drawing import Drawing
from memcirc.report.drawing import draw as _drawing
from memcirc.report.findings import Finding, recall_findings, task_findings
from memcirc.report.tables import markdown_table

PAIRS_SHOWN = 6
FAITHFULNESS_COLUMNS = (
    "mode", "ablation", "direction", "note", "n_edges", "n_pairs", "faithfulness", "median_ratio",
    "value", "nothing", "everything", "correct", "correct_everything",
)  # fmt: skip
RANDOM_COLUMNS = (
    "mode", "direction", "n_edges", "n_circuits", "found",
    "mean", "std", "q95", "highest", "disconnected", "quantile", "p_value",
)  # fmt: skip
AREA_COLUMNS = ("mode", "ablation", "reverse", "metric", "cpr", "cmd", "log_auc")


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
    faithfulness: list[dict[str, Any]]
    random: list[dict[str, Any]]
    areas: list[dict[str, Any]]
    refused: list[str]
    statement: dict[str, Any]


ABOUT = {
    "branch": "Branch decision: both prompts share a context; the clean one ends with the true next token, the corrupt "
    "one with the token the model says instead. Does the model go on reciting?",
    "memorization": "Memorization decision: clean is a memorized passage cut where recitation breaks off, so that its "
    "true next token (the wrong answer here) is withheld; corrupt is a passage that is not memorized, the most similar "
    "one after which the model does say that very token. Which way does the decision fall?",
}


def write_report(
    run_dir: Path, tasks: Sequence[str], absent: Mapping[str, str], config: Mapping[str, Mapping[str, Any]]
) -> Path:
    """Write the report into ``RUN/report`` and return the page's path.

    Args:
        absent: tasks that could not be run, with the reason.
        config: the run's sections, stated on the page.
    """
    out = run_dir / "report"
    shown = [section(run_dir, task, out) for task in tasks]
    drawings, findings = _corpus(run_dir, out)
    content = {
        "title": "memcirc report",
        "config": config,
        "findings": [
            *findings,
            *(finding for part in shown for finding in part.findings),
            *(Finding(f"{task}: not run, {reason}.", False) for task, reason in absent.items()),
        ],
        "drawings": drawings,
        "sections": shown,
        "seconds": _seconds(run_dir),
        "faithfulness_columns": FAITHFULNESS_COLUMNS,
        "random_columns": RANDOM_COLUMNS,
        "area_columns": AREA_COLUMNS,
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


def section(run_dir: Path, task: str, out: Path) -> TaskSection:
    """Everything about one task."""
    folder = run_dir / task
    pairs = read_json(folder / "pairs" / "pairs.json")
    verification = read_json(folder / "verify" / "verification.json")
    circuits = {c["mode"]: c for c in map(_circuit, sorted((folder / "discover").glob("circuit*.json")))}
    for kind in ("faithfulness", "random", "curve"):
        write_json(out / "tables" / f"{task}_{kind}.json", verification[kind])
    drawings = []
    points = [pair["divergence"] for pair in pairs["prompts"] if pair.get("divergence")]
    if points and task == "branch":
        drawings.append(
            _drawing(
                out,
                f"{task}_divergence",
                figures.divergence_histogram(points),
                f"Where recitation breaks off ({points.count(1)} of {len(points)} pairs after a single token).",
            )
        )
    if verification["curve"]:
        sizes = {mode: c["n_edges"] for mode, c in circuits.items()}
        target = next(iter(circuits.values()))["target"]
        drawn = figures.faithfulness_curves(verification["curve"], sizes, target)
        caption = (
            "Faithfulness on test pairs of the ranking's first n edges; left, beside 20 random circuits of n edges. "
            f"Vertical line: the minimal circuit's size, chosen on validation; dotted: its target {target}."
        )
        drawings.append(_drawing(out, f"{task}_curves", drawn, caption))
    for mode, circuit in circuits.items():
        drawn = figures.circuit_diagram(circuit["cfg"], circuit["scores"])
        hidden = circuit["n_edges"] - figures.MOST_EDGES_DRAWN
        tail = f" The {figures.MOST_EDGES_DRAWN} highest-scored are drawn." if hidden > 0 else ""
        caption = f"The minimal circuit, mode {mode}: {circuit['n_edges']} edges, width by |score|.{tail}"
        drawings.append(_drawing(out, f"{task}_circuit_{mode}", drawn, caption))
    return TaskSection(
        task=task,
        about=ABOUT.get(task.split("@")[0], "Pairs given by the user."),
        n_pairs=len(pairs["prompts"]),
        dropped=pairs["memcirc"].get("dropped", {}),
        examples=[_example(pair) for pair in _spread(pairs["prompts"])],
        findings=task_findings(task, verification, circuits),
        drawings=drawings,
        faithfulness=verification["faithfulness"],
        random=verification["random"],
        areas=[{**curve, **curve["mib_areas"]} for curve in verification["curve"]],
        refused=verification["refused"],
        statement=verification["statement"],
    )


def _circuit(path: Path) -> dict[str, Any]:
    """A circuit's file, cut down to what the page needs."""
    content = read_json(path)
    scores = {name: edge["score"] for name, edge in content["edges"].items() if edge["in_graph"]}
    return {**content["memcirc"], "cfg": content["cfg"], "scores": scores, "graph_edges": len(content["edges"])}


def _corpus(run_dir: Path, out: Path) -> tuple[list[Drawing], list[Finding]]:
    """The dose-response curve, where the corpus knows its copies, and what it says."""
    path = run_dir / "score" / "scores.parquet"
    if not path.is_file():
        return [], []
    table = pq.read_table(path)
    exact, scores = table["exact"].to_pylist(), table["memorization_score"].to_pylist()
    copies = table["copies"].to_pylist() if "copies" in table.column_names else [None] * len(table)
    known = [i for i, c in enumerate(copies) if c is not None]
    drawings = []
    if known:
        planted = [int(copies[i] or 0) for i in known]
        drawn = figures.dose_response(planted, [exact[i] for i in known], [scores[i] for i in known])
        caption = (
            "Dose and response: how often a document stands in the training corpus, and how much of it is recited."
        )
        drawings.append(_drawing(out, "dose_response", drawn, caption))
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


def _seconds(run_dir: Path) -> dict[str, float]:
    """How long each stage took, from the stages' markers."""
    markers = sorted(run_dir.glob("**/done.json"), key=lambda path: path.stat().st_mtime)
    return {str(path.parent.relative_to(run_dir)): read_json(path)["seconds"] for path in markers}


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
