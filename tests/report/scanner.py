"""Finds passages of a corpus in whatever a command has written."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

from memcirc.report.redaction import runs_of_words
from memcirc.run.reading import Run

DATA = r'(?s)<script type="application/json">(.*?)</script>'
PROMPTS = (("clean", "answer"), ("corrupt", "wrong_answer"))


def passages(run: Path) -> frozenset[tuple[str, ...]]:
    """Every five words in a row of a run's corpus."""
    config = Run(run).config
    lines = Path(config.located(config.prepare.dataset)).read_text(encoding="utf-8").splitlines()
    return frozenset(words for line in lines for words in runs_of_words(json.loads(line)["text"]))


def strings(content: object) -> Iterator[str]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield str(key)
            yield from strings(value)
    elif isinstance(content, list):
        for value in content:
            yield from strings(value)
    else:
        yield str(content)


def told(path: Path) -> list[str]:
    """The text of a file as a reader sees it."""
    text = path.read_bytes().decode("utf-8", "replace")
    if path.suffix == ".json":
        return list(strings(json.loads(text)))
    if path.suffix in (".html", ".svg"):
        data = browsed(text)
        text = re.sub(DATA, "", text)
        return [html.unescape(re.sub(r"</?(?:span|b|tspan)\b[^>]*>", "", text)), html.unescape(text), *data]
    return [text]


def browsed(page: str) -> list[str]:
    """The text of the pairs that a page has to browse, each prompt with what follows it."""
    rows = [row for data in re.findall(DATA, page) for row in json.loads(data)]
    pairs = [row for row in rows if isinstance(row, dict)]  # others are what the points of a figure say
    return [*strings(rows), *(row["shared"] + row[kind] + row[end] for row in pairs for kind, end in PROMPTS)]


def found(known: frozenset[tuple[str, ...]], folder: Path, *logs: str) -> dict[str, tuple[str, ...]]:
    """By file (or ``log``) the first passage that stands in it."""
    texts = {str(path.relative_to(folder)): told(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    texts["log"] = list(logs)
    hits = {}
    for name, parts in texts.items():
        hit = next((words for part in parts for words in runs_of_words(part) if words in known), None)
        hits |= {name: hit} if hit else {}
    return hits
