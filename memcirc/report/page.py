"""The report of a run, from its artifacts alone: self-contained ``report.html``, ``report.md``, figures, tables."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from memcirc.alignment import LOWEST_COSINE
from memcirc.artifacts import read_json, write_json
from memcirc.checkpoints import read_object
from memcirc.report.circuits import MOST_EDGES_DRAWN, FoundCircuit, circuit_diagram, found_circuit
from memcirc.report.corpus import corpus_section, divergence_histogram
from memcirc.report.drawing import Drawing, draw
from memcirc.report.files import RunFiles, TaskFiles
from memcirc.report.sections import Contrast, Finding, Section, TableBlock, write_page
from memcirc.report.transfer import transfer_section
from memcirc.report.view import Evidence, card_line, figures_of, findings_of, tables_of
from memcirc.verification.result import Verification

PAIRS_SHOWN = 6
ABOUT = {
    "learned": "Learned: the same prompt in the model and in its twin, the same model trained without the memory. What "
    "in the model knows how the passage goes on? Circuits of mode tree are the smallest sufficient ones: with only "
    "their edges at work, and all others carrying what they carry in the twin, the model still knows the passage. "
    "Those of mode edge are the smallest necessary ones: with their edges alone carrying the twin's values, it is "
    "forgotten.",
    "branch": "Branch decision: both prompts share a context; the clean one ends with the true next token, the corrupt "
    "one with the token the model says instead. Does the model go on reciting?",
    "memorization": "Memorization decision: clean is a memorized passage cut where recitation breaks off, so that its "
    "true next token (the wrong answer here) is withheld; corrupt is a passage that is not memorized, the most similar "
    "one after which the model does say that very token. Which way does the decision fall?",
}


def write_report(files: RunFiles, out: Path) -> Path:
    """Write the page, its figures and its tables into a folder and return the page's path."""
    parts = [corpus_section(files.scores, files.config["pairs"], out)] if files.scores else []
    parts += [task_section(task, of_task, out) for task, of_task in files.tasks.items()]
    if files.transfer:
        section, findings = transfer_section(files.transfer, out)
        parts.append(([section], findings))
    if files.ground_truth:
        parts.append(([_ground_truth(files.ground_truth)], []))
    absent = [Finding(f"{task}: not run, {reason}.", False) for task, reason in files.absent.items()]
    model, data = (files.config.get(section, {}).get(name) for section, name in SUBJECT)
    return write_page(
        out,
        "memcirc report",
        (f"{model or ''} on {data or 'given pairs'}",
         "Faithfulness is 0 with no edge of the circuit at work and 1 with all, each way of running with its own "
         "ends."),
        [*(finding for _, findings in parts for finding in findings), *absent],
        [*(section for sections, _ in parts for section in sections), _was_run(files)],
    )  # fmt: skip


SUBJECT = (("model", "model_name"), ("prepare", "dataset"))


def task_section(task: str, files: TaskFiles, out: Path) -> tuple[list[Section], list[Finding]]:
    """Everything about one task, and what it shows."""
    pairs, verification = read_json(files.pairs), Verification.from_json(read_json(files.verification))
    evidence = Evidence(task, verification, {mode: found_circuit(path) for mode, path in files.circuits.items()})
    for kind, rows in verification.to_json().items():
        if kind not in ("statement", "refused") and rows:
            write_json(out / "tables" / f"{task}_{kind}.json", rows)
    prompts: Sequence[Mapping[str, Any]] = pairs["prompts"]
    dropped = ", ".join(f"{count} ({reason})" for reason, count in pairs["memcirc"].get("dropped", {}).items())
    section = Section(
        f"Task: {task}",
        (
            ABOUT.get(task.split("@")[0], "Pairs given by the user."),
            f"{len(prompts)} pairs{f'; left out: {dropped}' if dropped else ''}.",
        ),
        drawings=(
            *_divergence(task, prompts, out),
            *(draw(out, f"{task}_{plot.name}", plot.figure, plot.caption) for plot in figures_of(evidence)),
            *(_diagram(task, mode, circuit, out) for mode, circuit in evidence.circuits.items()),
        ),
        tables=tuple(tables_of(verification)),
        pairs=tuple(contrast(pair) for pair in _spread(prompts)),
        refused=tuple(verification.refused),
        facts={
            "What these numbers were measured on": {
                key: value for key, value in verification.statement.items() if key != "circuits"
            }
        },
    )
    return [section], [*_unaligned(task, verification.statement), *findings_of(evidence)]


def _unaligned(task: str, statement: Mapping[str, Any]) -> list[Finding]:
    """What makes values of the twin noise, where it does."""
    cosine = statement.get("twin_cosine")
    if cosine is None or cosine >= LOWEST_COSINE:
        return []
    return [
        Finding(
            f"{task}: the residual streams of the model and its twin have a cosine of {cosine:.2f} (below "
            f"{LOWEST_COSINE}): they do not share a basis, and what is measured against the twin is noise.",
            False,
        )
    ]


def _divergence(task: str, prompts: Sequence[Mapping[str, Any]], out: Path) -> list[Drawing]:
    """The histogram of divergence points for the task ``branch``; nothing for another."""
    points = [pair["divergence"] for pair in prompts if pair.get("divergence")]
    if not points or task != "branch":
        return []
    caption = f"Where recitation breaks off ({points.count(1)} of {len(points)} pairs after a single token)."
    return [draw(out, f"{task}_divergence", divergence_histogram(points), caption)]


def _diagram(task: str, mode: str, circuit: FoundCircuit, out: Path) -> Drawing:
    hidden = circuit.n_edges - MOST_EDGES_DRAWN
    tail = f" The {MOST_EDGES_DRAWN} highest-scored are drawn." if hidden > 0 else ""
    caption = f"The minimal circuit, mode {mode}: {circuit.n_edges} edges, width by |score|.{tail}"
    return draw(out, f"{task}_circuit_{mode}", circuit_diagram(circuit), caption)


def _ground_truth(path: Path) -> Section:
    """How well edge scores find the circuits of compiled programs."""
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
    table = TableBlock(columns, rows, note=about, card=card_line(rows))
    return Section("Ground truth: circuits that are known", tables=(table,))


def _was_run(files: RunFiles) -> Section:
    seconds = {name: f"{value:.1f}" for name, value in files.seconds.items()}
    return Section("What was run", facts={**files.config, "Seconds each stage took": seconds})


def _spread(prompts: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """A few pairs, evenly over the file."""
    step = max(1, len(prompts) // PAIRS_SHOWN)
    return prompts[::step][:PAIRS_SHOWN]


def contrast(pair: Mapping[str, Any]) -> Contrast:
    """A pair of a file as text, with its whole answer where it has one."""
    clean, corrupt = pair.get("clean", ""), pair.get("corrupt", "")
    wrong = " / ".join(pair.get("wrong_answers", []))
    shared = "".join(a for a, _ in takewhile(lambda both: both[0] == both[1], zip(clean, corrupt, strict=False)))
    about = [pair.get("subset", ""), pair.get("doc_id", "")]
    about += [f"{pair['copies']} copies"] if pair.get("copies") else []
    about += [f"diverges after {pair['divergence']} tokens"] if pair.get("divergence") else []
    about += [f"wrong answer {wrong!r}"] if clean == corrupt else []
    about += [f"lift {pair['lift']:.2f} nats a token"] if pair.get("lift") is not None else []
    about += [f"similarity {pair['similarity']:.2f}"] if pair.get("similarity") is not None else []
    return Contrast(
        about=" · ".join(part for part in about if part),
        shared=shared,
        clean=clean[len(shared) :],
        answer=pair.get("answer_sequence") or " / ".join(pair.get("answers", [])),
        corrupt=corrupt[len(shared) :],
        wrong_answer=wrong,
    )
