"""A run as a folder for others: a card, circuits with their scores, what verification found, the manifest, the page.

Text is left out unless it is asked for (:mod:`memcirc.report.redaction`), and so are the places of this machine. The
folder is made beside its place and takes it when it is whole; what stood there is replaced only if this made it.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import yaml

import memcirc
from memcirc.artifacts import read_json, write_json, write_text
from memcirc.checkpoints import read_object
from memcirc.hub import check_name
from memcirc.published import INDEX
from memcirc.report.evidence import headline
from memcirc.report.files import RunFiles
from memcirc.report.page import write_report
from memcirc.report.tables import markdown_table
from memcirc.run.reading import Run
from memcirc.run.redacting import Changes, changed_files, for_others
from memcirc.schema import with_schema
from memcirc.verification.faithfulness import Measurement
from memcirc.verification.result import Verification

TAGS = ("memcirc", "circuits", "memorization", "mechanistic-interpretability")
STALE = ("*/pairs.json", "*/pairs_redacted.json", "*/circuit*.json", "tables/*", "figures/*")
"""What an upload removes where the folder no longer has it: text above all."""
COLUMNS = ("task", "mode", "ablation", "direction", "edges", "pairs", "faithfulness", "interval")


def publish(run_dir: Path, name: str, out: Path | None = None, with_text: bool = False) -> Path:
    """Prepare the folder and return it.

    Args:
        name: of the repository that it is for, OWNER/NAME.
        out: default: ``RUN/published/OWNER--NAME``.
        with_text: keep prompts, answers and token ids, so that pairs can be loaded again.

    Raises:
        FileNotFoundError: no run there, or none of its circuits is verified.
        ValueError: no such name, a folder that something else stands in, an artifact that is not as its stage left it.
    """
    check_name(name)
    run = Run(run_dir)
    files, target = run.files(), out or run_dir / "published" / name.replace("/", "--")
    if target.exists() and any(target.iterdir()):
        _check_ours(target, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        _fill(draft, name, run, files, for_others(files, with_text), with_text)
        draft.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        draft.replace(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _check_ours(folder: Path, name: str) -> None:
    """Raises ValueError for a folder that is not what an earlier call with this name has left."""
    index = folder / INDEX
    held = read_object(index).get("name", "other files") if index.is_file() else "other files"
    if (folder / ".git").exists():
        held = "a clone of a repository"
    if held != name:
        raise ValueError(f"{folder} holds {held}; give --out a folder of its own")


def _fill(folder: Path, name: str, run: Run, files: RunFiles, changes: Changes, with_text: bool) -> None:
    circuits = []
    with changed_files(files, changes) as told:
        write_report(told, folder)
        for task, of_task in told.tasks.items():
            for mode, path in of_task.circuits.items():
                file = f"{task}/{path.name}"
                write_json(folder / file, read_json(path))
                circuits.append({"task": task, "mode": mode, "file": file, "n_edges": len(run.circuit(task, mode))})
            scores = run.edge_scores(task)
            replace(scores, origin=changes.other(dict(scores.origin))).save(folder / task / "edge_scores.safetensors")
            write_json(folder / task / "verification.json", read_json(of_task.verification))
            _write_pairs(folder / task, read_json(of_task.pairs), with_text)
        local = Path(run.config.located(run.config.model.model_name)).exists()
        write_text(folder / "README.md", card(name, told, with_text, local))
        write_json(folder / "config.json", told.config)
    if (run.path / "manifest.json").is_file():
        write_json(folder / "manifest.json", changes.other(read_object(run.path / "manifest.json")))
    write_json(
        folder / INDEX,
        with_schema({"memcirc": memcirc.__version__, "name": name, "text": with_text, "circuits": circuits}),
    )


def _write_pairs(folder: Path, content: dict[str, Any], with_text: bool) -> None:
    """Pairs that can be loaded, or what is left of them under another key, which nothing loads."""
    if with_text:
        write_json(folder / "pairs.json", content)
        return
    redacted = {"memcirc": content["memcirc"], "redacted": content["prompts"]}
    write_json(folder / "pairs_redacted.json", redacted)


def card(name: str, files: RunFiles, with_text: bool, local: bool) -> str:
    """The folder's README, with the hub's front matter.

    Args:
        files: with contents as they are to be told.
        local: the model is a folder, not one of the hub's.
    """
    found = {task: Verification.from_json(read_json(of.verification)) for task, of in files.tasks.items()}
    model, data = files.config["model"]["model_name"], files.config["prepare"]["dataset"]
    front: dict[str, Any] = {"library_name": "memcirc", "tags": list(TAGS)}
    front |= {} if local else {"base_model": model}
    rows = [row for task, verification in found.items() for row in _rows(task, verification)]
    first = next(iter(files.tasks))
    text = (
        "The pairs are in `TASK/pairs.json`, with text and token ids."
        if with_text
        else "Text is left out: a passage is a keyed hash and its length, and there are no token ids."
    )
    return f"""---
{yaml.safe_dump(front, sort_keys=False).rstrip()}
---

# {name}

Circuits by which {model} recites its training data, found on {data or "given pairs"} and verified by memcirc
{memcirc.__version__}. A circuit is a set of edges, from parts that write to the residual stream to parts that read it.

{markdown_table(rows, COLUMNS)}

Faithfulness is 0 with no edge at work and 1 with all; the interval is of 95 % over documents of the test split. The
page (`report.html`, `report.md`) says what else was measured, and which claims the numbers do not bear out.

```python
from memcirc import Circuit

circuit = Circuit.from_pretrained({json.dumps(name)}, task={json.dumps(first)})
```

{text}

| file | what is in it |
| --- | --- |
| `TASK/circuit*.json` | the circuits, as EAP-IG and MIB write them; `memcirc` states how they were found |
| `TASK/edge_scores.safetensors` | the scores of all edges |
| `TASK/verification.json` | every number with what it was measured under |
| `config.json`, `manifest.json` | every option; versions, machine, seconds |
"""


def _rows(task: str, verification: Verification) -> Iterator[dict[str, Any]]:
    own = headline(verification)
    for row in (row for row in verification.of(Measurement) if row.ablation == own):
        yield {
            "task": task,
            "mode": row.mode,
            "ablation": row.ablation,
            "direction": row.direction,
            "edges": row.n_edges,
            "pairs": row.n_pairs,
            "faithfulness": row.faithfulness,
            "interval": None if row.low is None else f"{row.low:.2f} to {row.high:.2f}",
        }
