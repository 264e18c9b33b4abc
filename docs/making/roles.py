"""Docstrings name objects in Sphinx's way (``:func:`memcirc.score```); here these become links to the reference, or
code where the reference does not have them."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import griffe

REFERENCE = Path(__file__).parent.parent / "api.md"
ROLE = re.compile(r":(?:mod|class|func|meth|attr|data|exc):`~?([\w.]+)`")
CODE = re.compile(r"``(.+?)``", re.S)


@cache
def documented() -> frozenset[str]:
    """The public paths that the reference has an entry for."""
    return frozenset(re.findall(r"^::: (\S+)", REFERENCE.read_text(encoding="utf-8"), re.M))


def in_markdown(text: str, linked: bool = True) -> str:
    """A docstring's text with its roles and literals in Markdown."""
    return CODE.sub(r"`\1`", ROLE.sub(lambda role: _link(role[1]) if linked else f"`{role[1]}`", text))


def _link(path: str) -> str:
    name = path.rpartition(".")[2]
    target = next((known for known in (path, f"memcirc.{name}") if known in documented()), None)
    return f"[`{name}`][{target}]" if target else f"`{path}`"


class Roles(griffe.Extension):
    """Rewrites every docstring as it is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = in_markdown(obj.docstring.value)
