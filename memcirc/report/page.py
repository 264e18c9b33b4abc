"""The report of a run, from its artifacts alone: self-contained ``report.html``, ``report.md``, figures, tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memcirc.alignment import LOWEST_COSINE
from memcirc.artifacts import read_json, write_json
from memcirc.checkpoints import read_object
from memcirc.report.answer import answer, question
from memcirc.report.circuits import MOST_EDGES_DRAWN, FoundCircuit, circuit_diagram, found_circuit
from memcirc.report.claims import claim_table
from memcirc.report.contrasts import MOST_BYTES, SHOWN, Measured, contrast, pair_browser, spread
from memcirc.report.corpus import corpus_sections, divergence_histogram, recited
from memcirc.report.drawing import Drawing, draw
from memcirc.report.evidence import Evidence
from memcirc.report.explorer import sheets_of
from memcirc.report.files import RECITED, TRANSFER, RunFiles, TaskFiles
from memcirc.report.papers import paper_section
from memcirc.report.sections import EVERYTHING, Finding, Section, TableBlock, write_page
from memcirc.report.tasks import words_of
from memcirc.report.transfer import CLAIM, cells_of, transfer_section
from memcirc.report.view import card_line, claims, figures_of, findings_of, tables_of
from memcirc.report.words import LEGEND, edge_words
from memcirc.verification.faithfulness import Distribution
from memcirc.verification.result import Verification, record_types
from memcirc.verification.transfer import Cell

EDGES_LISTED = 10


def write_report(files: RunFiles, out: Path) -> Path:
    """Write the page, its figures and its tables into a folder and return the page's path."""
    cells = cells_of(files.transfer)
    found = {task: _evidence(task, of_task, cells) for task, of_task in files.tasks.items()}
    table = claim_table([*claims(), CLAIM], list(found.values()))
    model, data = (files.config.get(section, {}).get(name) for section, name in SUBJECT)
    sections = [
        Section(
            "What the words mean",
            facts={"": LEGEND},
            unfolds=", ".join(LEGEND),
        )
    ]
    sections += circuit_sections(list(found.values()), out)
    sections += corpus_sections(files.scores, files.config["pairs"], out) if files.scores else []
    sections += [
        task_section(found[task], read_json(files.tasks[task].pairs), out, MOST_BYTES // len(found)) for task in found
    ]
    sections += [transfer_section(files.transfer, out)] if files.transfer else []
    sections += [_ground_truth(files.ground_truth)] if files.ground_truth else []
    missing = [f"Missing: task {task}: {reason}." for task, reason in files.absent.items()]
    parts = {RECITED: files.scores, TRANSFER: files.transfer}
    for what, path in parts.items():
        if what in files.unread:
            missing.append(f"Missing: {what}: {files.unread[what]}.")
        elif path is None:
            missing.append(f"Missing: {what} was not measured.")
    return write_page(
        out,
        question(model, data),
        (*answer(recited(files.scores), list(found.values()), table), *missing),
        [finding for evidence in found.values() for finding in _unaligned(evidence)],
        [*sections, *paper_section(list(found.values())), _was_run(files)],
        claims=table,
    )


SUBJECT = (("model", "model_name"), ("prepare", "dataset"))


def _evidence(task: str, files: TaskFiles, cells: Sequence[Cell]) -> Evidence:
    verification = Verification.from_json(read_json(files.verification))
    circuits = {mode: found_circuit(path) for mode, path in files.circuits.items()}
    return Evidence(task, verification, circuits, tuple(cell for cell in cells if cell.circuit == task))


def circuit_sections(found: Sequence[Evidence], out: Path) -> list[Section]:
    """All circuits, to look into; nothing where there is none."""
    sheets = tuple(sheet for evidence in found for sheet in sheets_of(evidence))
    if not sheets:
        return []
    rows = [
        {"circuit": sheet.label, "edge": edge.name, "runs": edge_words(edge.name), "score": edge.score}
        for sheet in sheets
        for edge in sorted((edge for edge in sheet.edges if edge.inside), key=lambda e: -abs(e.score))[:EDGES_LISTED]
    ]
    drawings = tuple(
        _diagram(evidence.task, mode, circuit, out) for evidence in found for mode, circuit in evidence.circuits.items()
    )
    about = f"The {EDGES_LISTED} highest-scored edges of each circuit; score: what ablating the edge alone costs."
    table = TableBlock(("circuit", "edge", "runs", "score"), rows, "The strongest edges", about)
    text = (
        "The input is at the bottom, the logits are on top, between them each layer's heads in a row and its MLP at "
        "their right. An edge is as wide as its score is large."
    )
    return [Section("The circuits, layer by layer", (text,), sheets=sheets, drawings=drawings, tables=(table,))]


def task_section(evidence: Evidence, pairs: Mapping[str, Any], out: Path, text: int = MOST_BYTES) -> Section:
    """Everything about one task, with as many bytes of its pairs' text as are given."""
    task, verification = evidence.task, evidence.verification
    for kind, record in record_types().items():
        if rows := verification.rows(record):
            write_json(out / "tables" / f"{task}_{kind}.json", rows)
    prompts: Sequence[Mapping[str, Any]] = pairs["prompts"]
    dropped = ", ".join(f"{count} ({reason})" for reason, count in pairs["memcirc"].get("dropped", {}).items())
    words = words_of(task)
    return Section(
        f"Task {task}: {words.short[0].lower()}{words.short[1:]}",
        (words.about, f"{len(prompts)} pairs{f'; left out: {dropped}' if dropped else ''}."),
        findings=tuple(findings_of(evidence)),
        drawings=(
            *_divergence(task, prompts, out),
            *(draw(out, f"{task}_{plot.name}", plot.figure, plot.caption) for plot in figures_of(evidence)),
        ),
        tables=tuple(tables_of(verification)),
        pairs=tuple(contrast(pair) for pair in spread(prompts, SHOWN)),
        browser=pair_browser(prompts, text, _of_each_pair(evidence)),
        refused=tuple(verification.refused),
        facts={"": {key: value for key, value in verification.statement.items() if key != "circuits"}},
        unfolds="What these numbers were measured on",
    )


def _of_each_pair(evidence: Evidence) -> list[Measured]:
    """What was measured of each test pair alone."""
    return [
        Measured(
            f"how much the {row.mode} circuit {row.way.verb} of it (test pairs)",
            f"the {row.mode} circuit {row.way.verb} {{:.2f}}",
            row.ratios,
        )
        for row in evidence.own(Distribution)
        if row.ratios
    ]


def _unaligned(evidence: Evidence) -> list[Finding]:
    """What makes values of the twin noise, where it does."""
    cosine = evidence.verification.statement.get("twin_cosine")
    if cosine is None or cosine >= LOWEST_COSINE:
        return []
    return [
        Finding(
            f"{evidence.task}: the residual streams of the model and its twin have a cosine of {cosine:.2f} (below "
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
    caption = f"The circuit of {task}, mode {mode}: {circuit.n_edges} edges, as wide as their scores are large.{tail}"
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
    facts = {**files.config, "Seconds each stage took": seconds}
    return Section("What was run", facts=facts, unfolds=EVERYTHING)
