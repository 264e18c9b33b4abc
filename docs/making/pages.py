"""What the site has beyond the pages in ``docs/``: the notebooks as pages, the command's options from its parser, what
the benchmarks measured, every page as Markdown beside its HTML, and ``llms.txt``, which lists these.
"""

import json
import re
import sys
from argparse import SUPPRESS, ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent.parent.parent))  # mkdocs imports a hook by its path alone
sys.path.insert(0, str(Path(__file__).parent))

from docstrings import fields_table, in_markdown
from measurements import DRAWING, drawing, page, results

ROOT = Path(__file__).parent.parent.parent
ENTRY = re.compile(r"^::: (\S+)(?:\n(?: .*)?)*", re.M)
_written: dict[str, tuple[str, str, str]] = {}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made."""
    _written.clear()
    measured = results()
    made = {"options.md": options_page(), "measured.md": page(measured), DRAWING: drawing(measured)}
    for path in sorted(Path(config.docs_dir, "notebooks").glob("*.ipynb")):
        made[f"notebooks/{path.stem}.md"] = notebook_page(path)
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    """Keep what a page says, for its copy."""
    _written[page.file.src_uri] = (page.title, first_sentence(markdown), markdown)
    return markdown


def on_post_build(config: Any, **kwargs: Any) -> None:
    """Write the copies, and the list of them in the order of the navigation."""
    for name, (_, _, markdown) in _written.items():
        path = Path(config.site_dir, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ENTRY.sub(lambda entry: entry_text(entry[1]), markdown), encoding="utf-8")
    listed = "\n".join(_listed(config.nav))
    head = f"# {config.site_name}\n\n> {config.site_description}.\n\nEvery page as Markdown, beside its HTML.\n"
    Path(config.site_dir, "llms.txt").write_text(head + listed + "\n", encoding="utf-8")


def _listed(nav: Any) -> Iterator[str]:
    """A heading a section, a line a page."""
    single = [entry for entry in nav if isinstance(next(iter(entry.values())), str)]
    sections = [entry for entry in nav if entry not in single]
    for title, pages in [("Pages", single), *((title, pages) for entry in sections for title, pages in entry.items())]:
        yield f"\n## {title}\n"
        for entry in pages:
            name = next(iter(entry.values()))
            if name in _written:
                heading, about, _ = _written[name]
                yield f"- [{heading}]({name}): {about}"


def first_sentence(markdown: str) -> str:
    """The first sentence of a page's first paragraph, as plain text."""
    paragraphs = (part.strip() for part in re.split(r"\n\s*\n", markdown))
    text = next((part for part in paragraphs if part and not re.match(r"[#|!:<-]|```", part)), "")
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(text.split())).replace("*", "")
    return re.split(r"(?<=[.?:]) (?=[A-Z0-9`(])", text)[0]


def notebook_page(path: Path) -> str:
    """A notebook's cells as Markdown, behind a link to the notebook itself."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    parts = [
        text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
        for cell, text in zip(cells, texts, strict=True)
    ]
    parts.insert(1, f"This page is the notebook [{path.name}]({path.name}), without what its cells print and draw.")
    return "\n\n".join(parts) + "\n"


def options_page() -> str:
    """Every command's options, as its ``--help`` has them."""
    from memcirc.cli import parser

    lines = ["# Options", "", "What `memcirc COMMAND --help` prints. Names may be written with `_` or `-`.", ""]
    for name, sub in _commands(parser(), "memcirc"):
        lines += [f"## {name}", "", sub.description or "", ""]
        for group in sub._action_groups:
            rows = [action for action in group._group_actions if action.help != SUPPRESS and action.dest != "help"]
            rows = [action for action in rows if not isinstance(action, _SubParsersAction)]
            if rows:
                title = {"options": "general", "positional arguments": "what stands behind it"}.get(group.title or "")
                lines += [f"| {title or group.title} | |", "| --- | --- |", *map(_option_row, rows), ""]
    return "\n".join(lines)


def _commands(parser: ArgumentParser, name: str) -> Iterator[tuple[str, ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for command, sub in action.choices.items():
                if any(isinstance(inner, _SubParsersAction) for inner in sub._actions):
                    yield from _commands(sub, f"{name} {command}")
                else:
                    yield f"{name} {command}", sub


def _option_row(action: Any) -> str:
    names = ", ".join(f"`{flag}`" for flag in action.option_strings) or f"`{action.metavar}`"
    takes = f" `{action.metavar}`" if action.option_strings and action.metavar and action.nargs != 0 else ""
    text = ((action.help or "") % {"default": action.default, "prog": "memcirc"}).replace("|", "\\|")
    return f"| {names}{takes} | {text} |"


def entry_text(path: str) -> str:
    """What the reference says of one public name, as plain Markdown."""
    found = _package()[path.removeprefix("memcirc.")]
    found = found.final_target if found.is_alias else found
    text = in_markdown(found.docstring.value if found.docstring else "", linked=False)
    fields = fields_table(found) if found.is_class else ""
    signature = f"```python\n{_signature(found)}\n```"
    return f"### {path}\n\n" + "\n\n".join(part for part in (signature, text, fields) if part) + "\n\n"


def _signature(found: Any) -> str:
    if not found.is_function:
        return f"class {found.name}" if found.is_class else f"{found.name} = {found.value}"
    return str(found.signature())


def _package() -> Any:
    if "package" not in _kept:
        loader = griffe.GriffeLoader(search_paths=[str(ROOT)])
        _kept["package"] = loader.load("memcirc")
        loader.resolve_aliases()
    return _kept["package"]


_kept: dict[str, Any] = {}
