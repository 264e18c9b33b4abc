"""Changes of a finished run that leave its files readable, and what the library makes of each of them.

A change is *refused* where a reader or the next command names it, *flagged* where an audit does, *equal* where
everything that can be read is what it was. Anything else is *silent*.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from safetensors.numpy import load_file, save_file

from memcirc.artifacts import DONE, file_hash
from memcirc.interventions import MODES
from memcirc.run import auditing
from memcirc.run.pipeline import Pipeline
from memcirc.run.reading import Run

Draw = random.Random
MISTAKES = (ValueError, FileNotFoundError)


@dataclass(frozen=True)
class Change:
    """What is done to which file; ``apply`` gives False where there is nothing of the sort in it."""

    name: str
    file: str
    apply: Callable[[Path, Draw], bool]


def flip_a_bit(path: Path, draw: Draw) -> bool:
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    return True


def cut_or_add(path: Path, draw: Draw) -> bool:
    content = path.read_bytes()
    path.write_bytes(draw.choice([content[:-1], content[: len(content) // 2], content + b"\n", content + content]))
    return True


def change_rows(path: Path, draw: Draw) -> bool:
    """Drop, double, exchange rows; another type, another unit, another name of a column; the columns exchanged."""
    table = pq.read_table(path)
    rows = list(range(len(table)))
    i, j = draw.sample(rows, 2)
    numeric = [f.name for f in table.schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]
    name = draw.choice(numeric)
    place, column = table.schema.get_field_index(name), table[name]
    kind = draw.randrange(7)
    if kind == 0:
        table = table.take(rows[:i] + rows[i + 1 :])
    elif kind == 1:
        table = table.take([*rows[:i], rows[i], *rows[i:]])
    elif kind == 2:
        rows[i], rows[j] = rows[j], rows[i]
        table = table.take(rows)
    elif kind == 3:
        other = pa.int32() if column.type == pa.int64() else pa.float32()
        table = table.set_column(place, name, column.cast(other, safe=False))
    elif kind == 4:
        scaled = pa.array([None if v is None else v * 1000 for v in column.to_pylist()], column.type)
        table = table.set_column(place, name, scaled)
    elif kind == 5:
        texts = [f.name for f in table.schema if pa.types.is_string(f.type)]
        if not texts:
            return False
        name = draw.choice(texts)
        values = table[name].to_pylist()
        values[i] = draw.choice([values[j], "elsewhere"])
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.string()))
    else:
        table = table.select(table.column_names[::-1])
    pq.write_table(table, path)
    return True


def places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of JSON-like content, at any depth."""
    keys: Any = range(len(content)) if isinstance(content, list) else list(content)
    for key in keys:
        yield content, key
        if isinstance(content[key], dict | list):
            yield from places(content[key])


def other_value(value: Any, draw: Draw) -> Any:
    """A value of the same sort that is another one, or none."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return draw.choice([value + 1, value * 1000 + 1, -value - 1, float(value) + 0.5])
    if isinstance(value, str):
        return draw.choice([value + "x", value[:-1] or "x", "cuda" if value != "cuda" else "cpu"])
    return draw.choice(["x", 0, [1]]) if value is None else None


def change_content(content: Any, draw: Draw) -> bool:
    """Another value, an entry dropped, doubled or exchanged with another one."""
    found = list(places(content))
    if not found:
        return False
    container, key = draw.choice(found)
    kind = draw.randrange(4)
    if kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, list):
        container.insert(key, container[key])
    elif kind == 2 and len(container) > 1:
        keys = list(range(len(container))) if isinstance(container, list) else list(container)
        other = draw.choice([k for k in keys if k != key])
        container[key], container[other] = container[other], container[key]
    else:
        container[key] = other_value(container[key], draw)
    return True


def change_json(path: Path, draw: Draw) -> bool:
    content = json.loads(path.read_text(encoding="utf-8"))
    changed = change_content(content, draw)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return changed


def change_yaml(path: Path, draw: Draw) -> bool:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    changed = change_content(content, draw)
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return changed


def change_tensors(path: Path, draw: Draw) -> bool:
    """Another unit, sign or type, or two values exchanged."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    tensors, kind = load_file(path), draw.randrange(4)
    name = draw.choice(sorted(tensors))
    values = tensors[name].reshape(-1)
    i, j = draw.sample(range(len(values)), 2)
    if kind == 0:
        values = values * 1000
    elif kind == 1:
        values[i] = -values[i]
    elif kind == 2:
        values[[i, j]] = values[[j, i]]
    else:
        values = values.astype("float64")
    save_file({**tensors, name: values.reshape(tensors[name].shape)}, path, metadata=header.get("__metadata__"))
    return True


def change_lines(path: Path, draw: Draw) -> bool:
    """A document dropped, doubled, moved, or with a word of another one."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    i, j = draw.sample(range(len(lines)), 2)
    kind = draw.randrange(4)
    if kind == 0:
        del lines[i]
    elif kind == 1:
        lines.insert(j, lines[i])
    elif kind == 2:
        lines[i], lines[j] = lines[j], lines[i]
    else:
        row = json.loads(lines[i])
        row["text"] = row["text"].replace(" ", "  ", 1)
        lines[i] = json.dumps(row) + "\n"
    path.write_text("".join(lines), encoding="utf-8")
    return True


BY_KIND = {".parquet": change_rows, ".json": change_json, ".yaml": change_yaml, ".safetensors": change_tensors,
           ".jsonl": change_lines}  # fmt: skip
LEAVES = (DONE, "dropped.json", "verification.json", "transfer.json")
"""Files that no marker but their own knows."""
INPUTS = ("model/model.safetensors", "model/config.json", "model/tokenizer.json", "model/tokenizer_config.json",
          "corpus.jsonl")  # fmt: skip


def artifacts(run_dir: Path) -> list[str]:
    """Names of the files that a run's stages have left, their markers among them, and of its configuration."""
    return sorted(
        path.relative_to(run_dir).as_posix()
        for path in run_dir.rglob("*")
        if path.is_file() and path.suffix in BY_KIND and not {"report", "inputs"} & set(path.relative_to(run_dir).parts)
        and path.name != "manifest.json"
    )  # fmt: skip


def drawn(run_dir: Path, number: int) -> Change:
    """The change of a number: of every file in turn, by a bit, by bytes, or by what it holds."""
    files = [*artifacts(run_dir), *(f"inputs/{name}" for name in INPUTS)]
    file, draw = files[number % len(files)], Draw(number)
    apply = draw.choices([flip_a_bit, cut_or_add, BY_KIND[Path(file).suffix], exchange], [2, 1, 5, 1])[0]
    return Change(apply.__name__, file, apply)


def exchange(path: Path, draw: Draw) -> bool:
    """The content of another file of the run with the same ending; at times with its marker made to say so, where later
    stages have been made from it."""
    run_dir = next(folder for folder in path.parents if (folder / "config.yaml").is_file())
    others = [run_dir / name for name in artifacts(run_dir) if name.endswith(path.suffix)]
    others = [other for other in others if other.read_bytes() != path.read_bytes()]
    if not others:
        return False
    path.write_bytes(draw.choice(others).read_bytes())
    marker = path.parent / DONE
    if draw.random() < 0.5 and marker.is_file() and path.name not in LEAVES:
        content = json.loads(marker.read_text(encoding="utf-8"))
        if path.name in content["outputs"]:
            content["outputs"][path.name] = file_hash(path)
            marker.write_text(json.dumps(content), encoding="utf-8")
    return True


def readings(run_dir: Path) -> dict[str, Callable[[], Any]]:
    """Everything that can be read of a run, each by itself."""
    run = Run(run_dir)
    asked: dict[str, Callable[[], Any]] = {
        "windows": lambda: run.windows.table,
        "scores": lambda: run.scores,
        "points": lambda: pq.read_table(run.artifact("points", "points.parquet")),
        "stats": lambda: json.loads(run.artifact("windows", "stats.json").read_text(encoding="utf-8")),
        "transfer": lambda: json.loads(run.artifact("transfer", "transfer.json").read_text(encoding="utf-8")),
        "page": lambda: _of_page(run),
    }
    for task in ("branch", "memorization"):
        asked[f"{task} pairs"] = lambda task=task: [part.to_dict() for part in run.splits(task)]
        asked[f"{task} scores"] = lambda task=task: (run.edge_scores(task).as_dict(), run.edge_scores(task).origin)
        for mode in MODES:
            asked[f"{task} {mode}"] = lambda task=task, mode=mode: (
                run.circuit(task, mode).edges, run.circuit(task, mode).origin
            )  # fmt: skip
        asked[f"{task} verification"] = lambda task=task: run.verification(task).to_json()
    return asked


def _of_page(run: Run) -> Any:
    """What a page is made of, besides what is read for itself: configuration, tasks, seconds. One that says of a part
    that it is missing, and why, refuses that."""
    files = run.files()
    missing = [*files.absent.values(), *files.unread.values()]
    if missing:
        raise ValueError("; ".join(missing))
    config = {name: dict(section) for name, section in files.config.items()}
    return config, sorted(files.tasks), dict(files.seconds)


def read_all(run_dir: Path) -> dict[str, Any]:
    """What the readings give, each a value or the reason why there is none."""
    found: dict[str, Any] = {}
    for name, read in readings(run_dir).items():
        try:
            found[name] = read()
        except MISTAKES as reason:
            found[name] = reason
    return found


def verdict(run_dir: Path, change: Change, expected: dict[str, Any]) -> str:
    """What the library makes of a run that has been changed: refused, flagged, equal, or silent, with what is."""
    if change.file.startswith("inputs/"):
        return _of_input(run_dir)
    found = read_all(run_dir)
    wrong = [name for name, value in found.items() if not isinstance(value, MISTAKES) and value != expected[name]]
    if not wrong:
        return "refused" if any(isinstance(value, MISTAKES) for value in found.values()) else "equal"
    if any(checked.findings or checked.remark for checked in auditing.audit(run_dir, share=0.0).values()):
        return "flagged"
    return f"silent: {', '.join(wrong)}"


def _of_input(run_dir: Path) -> str:
    """What the next command makes of a model, tokenizer or corpus that has changed: every stage asks its marker."""
    pipeline = Pipeline(run_dir, Run(run_dir).config, terse=True)
    try:
        for task in pipeline.config.model.tasks:
            pipeline.verify(task)
    except MISTAKES:
        return "refused"
    return "silent: no stage has noticed"


def counted(run_dir: Path, numbers: range, fresh: Callable[[], Path]) -> tuple[dict[str, int], list[str]]:
    """How many changes met which verdict, and a line for each that was silent or ended in another error."""
    expected, counts, wrong = read_all(run_dir), dict[str, int](), []
    assert not any(isinstance(value, MISTAKES) for value in expected.values()), expected
    for number in numbers:
        change = drawn(run_dir, number)
        copy = fresh()
        before = (copy / change.file).read_bytes()
        if not change.apply(copy / change.file, Draw(number)) or (copy / change.file).read_bytes() == before:
            continue
        try:
            said = verdict(copy, change, expected)
        except Exception as error:
            said = f"error: {type(error).__name__}: {error}"
        kind = said.partition(":")[0]
        counts[kind] = counts.get(kind, 0) + 1
        if kind in ("silent", "error"):
            wrong.append(f"{number}: {change.name} of {change.file}: {said}"[:300])
    return counts, wrong
