"""The model of a page: findings first, then a section an artefact; one description for HTML and Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from memcirc.artifacts import slug, write_text
from memcirc.report.claims import ClaimTable
from memcirc.report.contrasts import Contrast, PairBrowser
from memcirc.report.drawing import Drawing
from memcirc.report.explorer import Sheet
from memcirc.report.numbers import number, visible
from memcirc.report.tables import csv_table, latex_table, markdown_table


@dataclass(frozen=True)
class Finding:
    """A sentence, and whether what it states meets its threshold (None: it has none, or too little to say)."""

    text: str
    holds: bool | None = None


@dataclass(frozen=True)
class TableBlock:
    """Rows of plain values under a title, with a note on how to read them.

    Attributes:
        card: what all its numbers were measured under.
    """

    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    title: str = ""
    note: str = ""
    card: str = ""

    @property
    def stem(self) -> str:
        """The name of its files among those of its section."""
        return slug(self.title or "numbers")

    @property
    def caption(self) -> str:
        """Title, note and card, as one text."""
        return " ".join(part for part in (f"{self.title}." if self.title else "", self.note, self.card) if part)

    @property
    def summary(self) -> str:
        """What a reader sees of it before it is opened."""
        lines = "1 line" if len(self.rows) == 1 else f"{len(self.rows)} lines"
        return f"{self.title or 'The numbers'} ({lines})"


@dataclass(frozen=True)
class Section:
    """One artefact: paragraphs, what was found of it, lines shown as they are, pairs, all of them to browse, circuits
    to look into, figures, tables, what was refused with the reason, and named values under titles.

    Attributes:
        sheets: stand for the drawings where there is a script.
        unfolds: what a reader opens to see its named values; without it they stand open.
    """

    title: str
    text: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    sheets: tuple[Sheet, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[TableBlock, ...] = ()
    shown: tuple[str, ...] = ()
    pairs: tuple[Contrast, ...] = ()
    browser: PairBrowser | None = None
    refused: tuple[str, ...] = ()
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unfolds: str = ""

    @property
    def stem(self) -> str:
        """The first of the names of its tables' files."""
        return slug(self.title.partition(":")[0])

    @property
    def counts(self) -> str:
        """How many findings there are, and how many of them meet their threshold."""
        met, unmet = (sum(finding.holds is verdict for finding in self.findings) for verdict in (True, False))
        return f"{len(self.findings)} findings: {met} thresholds met, {unmet} not met"


EVERYTHING = "Model, data, every option and version"


def environment() -> Environment:
    """The templates of pages, with how they write numbers and tables."""
    found = Environment(
        loader=PackageLoader("memcirc.report"),
        autoescape=select_autoescape(("html.j2",)),
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"number": number, "markdown": markdown_table}
    return found


def write_page(
    out: Path,
    title: str,
    introduction: Sequence[str],
    findings: Sequence[Finding],
    sections: Sequence[Section],
    statement: Mapping[str, Any] | None = None,
    claims: ClaimTable | None = None,
) -> Path:
    """Write ``out/report.html``, self-contained, ``out/report.md``, and every table as ``out/tables/SECTION_TABLE.csv``
    and ``.tex``; return the first's path.

    Args:
        findings: at the top; those of a section stand in it.
        statement: what was run, as a last section.
        claims: the table that stands at the top beside the introduction.
    """
    was_run = [] if statement is None else [Section("What was run", facts={"": statement}, unfolds=EVERYTHING)]
    content = {
        "title": title,
        "introduction": introduction,
        "findings": findings,
        "claims": claims,
        "verdicts": {True: "met", False: "unmet", None: "open"},
        "sections": [*sections, *was_run],
    }
    for section in sections:
        for block in section.tables:
            path = out / "tables" / f"{section.stem}_{block.stem}"
            write_text(path.with_suffix(".csv"), csv_table(block.rows, block.columns))
            write_text(path.with_suffix(".tex"), latex_table(block.rows, block.columns, block.caption))
    for name in ("report.html", "report.md"):
        write_text(out / name, environment().get_template(f"{name}.j2").render(content))
    return out / "report.html"
