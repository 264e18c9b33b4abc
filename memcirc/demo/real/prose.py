"""Ordinary English that every Python installation carries: the documentation strings of the standard library.

1. The sources are read as text and parsed, none is imported; tests, and what not every installation has, are left out.
2. A documentation string is taken up to its first example, list or table, with its lines joined into running text.
3. What is left is prose where nearly all of its characters are letters and spaces; no text is given twice.

The order is that of paths and lines, so that one installation always gives the same.
"""

import ast
import re
import sysconfig
import warnings
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

LEFT_OUT = {
    "test",
    "tests",
    "idlelib",
    "idle_test",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "turtledemo",
    "ensurepip",
}
PLAIN_SHARE = 0.93
NOT_PROSE = re.compile(r"^( {2,}|\t|>>>|[-*+=|#.]|\w+\(|:\w+)")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def library() -> Path:
    """The folder of the standard library's sources."""
    return Path(sysconfig.get_path("stdlib"))


def prose(folder: Path) -> Iterator[str]:
    """The distinct pieces of prose in the sources below a folder, in order."""
    given: set[str] = set()
    for path in sorted(folder.rglob("*.py")):
        if LEFT_OUT.isdisjoint(path.relative_to(folder).parts[:-1]):
            for documentation in documentation_in(path):
                text = running_text(documentation)
                if is_prose(text) and text not in given:
                    given.add(text)
                    yield text


def documentation_in(path: Path) -> list[str]:
    """The documentation strings of a source file, from top to bottom; none of one that is no Python of this version."""
    try:
        with warnings.catch_warnings(action="ignore"):  # a source's own, such as of its escapes
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []
    documented = sorted(
        (node for node in ast.walk(tree) if isinstance(node, DOCUMENTED)), key=lambda node: getattr(node, "lineno", 0)
    )
    return [text for node in documented if (text := ast.get_docstring(node, clean=False))]


def running_text(documentation: str) -> str:
    """The paragraphs of prose at the beginning, on one line."""
    lines = []
    for line in cleandoc(documentation).splitlines():
        if NOT_PROSE.match(line):
            break
        lines.append(line)
    return " ".join(" ".join(lines).split())


def is_prose(text: str) -> bool:
    """Whether a text is made of words."""
    plain = sum(character.isalpha() or character in " .," for character in text)
    return bool(text) and plain >= PLAIN_SHARE * len(text)
