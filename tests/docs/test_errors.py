"""The page of errors quotes messages that the package really raises, and leaves few of them without a family."""

import ast
import re
from functools import cache

import pytest

from tests.docs.blocks import DOCS, ROOT

OPEN = "…"


@cache
def texts() -> tuple[str, ...]:
    """Every string that the package's source holds, with ``…`` for what is filled in."""
    found: list[str] = []
    for path in sorted((ROOT / "memcirc").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr | ast.Constant):
                found.append(as_text(node))
    return tuple(found)


def as_text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else OPEN
    if isinstance(node, ast.JoinedStr):
        return "".join(as_text(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return as_text(node.left) + as_text(node.right)
    return OPEN


def quoted() -> list[str]:
    """The messages of the page's tables: what stands in backticks in the first column."""
    rows = [line for line in (DOCS / "errors.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


@pytest.mark.parametrize("message", quoted())
def test_a_quoted_message_is_one_that_the_package_has(message: str) -> None:
    parts = [part for part in message.split(OPEN) if part.strip(" :;,'()")]
    assert parts, message
    missing = [part for part in parts if not any(part in text for text in texts())]
    assert not missing


def raised() -> list[str]:
    """The messages that the package raises for a caller's mistake, as far as they are written where they are raised."""
    found = []
    for path in sorted((ROOT / "memcirc").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            call = node.exc if isinstance(node, ast.Raise) else None
            if isinstance(call, ast.Call) and call.args and getattr(call.func, "id", "") in KINDS:
                found.append(as_text(call.args[0]))
    return found


KINDS = ("ValueError", "FileNotFoundError", "TypeError", "TooFewPairs")


def in_a_family(message: str) -> bool:
    return any(all(part in message for part in family.split(OPEN)) for family in quoted())


def test_few_messages_are_in_no_family() -> None:
    """Those left say themselves what to do."""
    messages = raised()
    without = [message for message in messages if not in_a_family(message)]
    assert len(without) < len(messages) / 4, sorted(without)
