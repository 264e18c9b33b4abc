"""The README is short, its links lead somewhere, and what it and the demo's page quote is what the demo's run had."""

import json
import re
from pathlib import Path

import pytest

from tests.docs.blocks import DOCS, PAGES, ROOT, commands, named

README = ROOT / "README.md"
PICTURE = DOCS / "assets" / "demo.svg"
TOLD = json.loads((DOCS / "assets" / "demo.json").read_text(encoding="utf-8"))
"""What ``docs/making/picture.py`` read off the run."""


def test_it_has_at_most_120_lines_and_two_commands_first() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120
    assert commands(README)[:2] == [["make", "demo"], ["make", "test"]]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    made = {"options.md", "measured.md", "notebooks/road.md", "notebooks/patching.md", "notebooks/circuits.md"}
    local = [link for link in links if not link.startswith(("http:", "https:", "mailto:"))]
    missing = [link for link in local if not (page.parent / link).exists()]
    assert {(page.parent / link).resolve().relative_to(DOCS).as_posix() for link in missing} <= made


def test_it_has_one_picture_below_200_kilobytes() -> None:
    assert re.findall(r"!\[[^]]+\]\(([^)]+)\)", README.read_text(encoding="utf-8")) == ["docs/assets/demo.svg"]
    assert PICTURE.stat().st_size < 200_000
    drawn = PICTURE.read_text(encoding="utf-8")
    assert f"The necessary circuit: {TOLD['circuits']['learned, edge']['edges']} of 1,519 edges" in drawn
    assert f"{TOLD['taken_out']['memorized']['added']:.2f}" in drawn


def said(number: float) -> str:
    """As the pages write it: .91, 1.06, -.01."""
    return f"{number:.2f}".replace("0.", ".", 1) if abs(number) < 1 else f"{number:.2f}"


def test_the_readme_quotes_the_run() -> None:
    text = " ".join(README.read_text(encoding="utf-8").split())
    memorized, others = TOLD["taken_out"]["memorized"], [TOLD["taken_out"][t] for t in ("near", "ordinary", "common")]
    low, high = memorized["interval"]
    for words in (
        f"{TOLD['circuits']['learned, edge']['edges']} of its {TOLD['graph_edges']:,} edges",
        f"lose {said(memorized['added'])} nats a token (95 % interval {said(low)} to {said(high)};",
        f"other text at most {said(max(row['added'] for row in others))}",
        f"random edges take {said(memorized['random'])}",
        f"*sufficient* has {TOLD['circuits']['learned, tree']['edges']} edges",
    ):
        assert words in text, words


def test_the_page_of_the_demo_quotes_the_run() -> None:
    text = (DOCS / "results" / "demo.md").read_text(encoding="utf-8")
    for row in TOLD["circuits"].values():
        low, high = map(said, row["interval"])
        cells = f"{row['edges']} | {row['pairs']} | {said(row['faithfulness'])} ({low} to {high})"
        assert f"| {cells} | {said(row['connected_q95'])} |" in text, cells
    for row in TOLD["taken_out"].values():
        low, high = map(said, row["interval"])
        cells = f"{row['passages']} | {said(row['added'])} ({low} to {high}) | {said(row['random'])}"
        assert f"| {cells} | {said(row['random_q95'])} |" in text, cells
