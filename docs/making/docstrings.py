"""Docstrings as the site shows them. They name objects in Sphinx's way (``:func:`memcirc.score```), which become links
to the reference, or code where it does not have them; a record gets a table of its fields, with its options' help.
"""

import ast
import re
from functools import cache
from html import escape
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


def fields_table(record: Any) -> str:
    """The fields of a dataclass or a TypedDict as a Markdown table; empty for another class."""
    bases = [str(base) for base in record.bases]
    if "dataclass" not in record.labels and not any(base.endswith(("TypedDict", "Options")) for base in bases):
        return ""
    members = [m for name, m in record.members.items() if m.is_attribute and not name.startswith("_")]
    rows = [
        f"| `{m.name}` | {_code(m.annotation)} | {' | '.join(_default(m))} |"
        for m in members
        if m.annotation is not None and "property" not in m.labels
    ]
    return "\n".join(["| field | type | default | |", "| --- | --- | --- | --- |", *rows]) if rows else ""


def _default(field: Any) -> tuple[str, str]:
    """A field's default, and what the help of its option says."""
    if field.value is None:
        return "", ""
    value = ast.parse(str(field.value), mode="eval").body
    if not isinstance(value, ast.Call) or getattr(value.func, "id", "") not in ("option", "field"):
        return _code(field.value), ""
    said = {keyword.arg: keyword.value for keyword in value.keywords}
    said |= dict(zip(("default", "help"), value.args, strict=False))
    default = _code(ast.unparse(said["default"])) if "default" in said else ""
    return default, ast.literal_eval(said["help"]) if isinstance(said.get("help"), ast.Constant) else ""


def _code(value: Any) -> str:
    """Code in a cell of a table, where a bar would begin the next one."""
    text = str(value)
    return f"<code>{escape(text).replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


class Shown(griffe.Extension):
    """Rewrites every docstring as it is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is None:
            return
        obj.docstring.value = in_markdown(obj.docstring.value)
        table = fields_table(obj) if obj.is_class else ""
        if table:
            head, *rest = re.split(r"\n\n(?=Attributes:|Raises:|Args:)", obj.docstring.value, maxsplit=1)
            obj.docstring.value = "\n\n".join([head, table, *rest])
