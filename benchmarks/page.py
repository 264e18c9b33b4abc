"""How long a page takes in a browser until something shows, and until it answers: two circuits of GPT-2-small's 32,491
edges and 1,000 pairs of prompts of 350 characters; or any page.

python -m benchmarks.page [--page FILE.html] [--repeats 5]

Needs Playwright (``make test-browser`` installs it) and chromium, or another that ``CHROMIUM`` names.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import has_peer
from benchmarks.timing import Row, report
from memcirc.graph import Graph, GraphShape
from memcirc.interventions import RunSettings
from memcirc.report.circuits import MOST_RANKED, FoundCircuit
from memcirc.report.contrasts import MOST, contrast, pair_browser
from memcirc.report.evidence import Evidence
from memcirc.report.page import circuit_sections
from memcirc.report.sections import Section, write_page
from memcirc.verification.result import Verification

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TIMES = """() => ({
  painted: performance.getEntriesByName("first-contentful-paint")[0].startTime,
  interactive: performance.getEntriesByType("navigation")[0].loadEventEnd,
})"""
LIMITS = {"painted": ("first paint", 1.0), "interactive": ("all scripts have run", 2.0)}
MOST_BYTES = 6e6


def circuit(graph: Graph, mode: str, n_edges: int) -> FoundCircuit:
    """A circuit of the first edges of a random ranking."""
    drawn = torch.randn(graph.n_edges, generator=torch.Generator().manual_seed(0))
    order = drawn.abs().argsort(descending=True).tolist()
    scores = {graph.edges[i]: float(drawn[i]) for i in order[:n_edges]}
    ranking = {graph.edges[i]: float(drawn[i]) for i in order[:MOST_RANKED]}
    shape, way = graph.shape, RunSettings(mode)  # type: ignore[arg-type]
    return FoundCircuit(
        way, n_edges, graph.n_edges, 0.85, True, 0.9, True, shape.n_layers, shape.n_heads, scores, ranking
    )


def large_page(out: Path) -> Path:
    graph = Graph(GraphShape(12, 12, 12))
    circuits = {mode: circuit(graph, mode, n) for mode, n in (("tree", 3250), ("edge", 325))}
    said = "the heron waited by the lock " * 12
    prompts: list[dict[str, Any]] = [
        {"clean": f"{said}number {i} Anna", "corrupt": f"{said}number {i} Bob", "answers": [" until"],
         "wrong_answers": [" and"], "copies": i, "doc_id": f"doc-{i}"}
        for i in range(MOST)
    ]  # fmt: skip
    sections = circuit_sections([Evidence("branch", Verification({}, ()), circuits)], out)
    pairs = Section("Pairs", pairs=(contrast(prompts[0]),), browser=pair_browser(prompts))
    return write_page(out, "A large page", (), (), [*sections, pairs])


def loaded(page: Path, repeats: int) -> dict[str, float]:
    """Median seconds of each event, each time in a browser's new window."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    found: list[dict[str, float]] = []
    with sync_playwright() as driver, driver.chromium.launch(executable_path=path, args=ARGUMENTS) as browser:
        for _ in range(repeats):
            window = browser.new_page(viewport={"width": 1280, "height": 900})
            window.goto(page.resolve().as_uri(), wait_until="load")
            window.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
            found.append(window.evaluate(TIMES))
            window.close()
    return {name: statistics.median(times[name] for times in found) / 1000 for name in LIMITS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if not has_peer("playwright"):
        return
    with tempfile.TemporaryDirectory() as folder:
        page = options.page or large_page(Path(folder))
        size, seconds = page.stat().st_size, loaded(page, options.repeats)
    name = "32,491 edges twice and 1,000 pairs" if options.page is None else "a page of one's own"
    rows = [
        Row(f"{what}, {name}", seconds[event], limit, f"{limit:g} s", 1.0, True)
        for event, (what, limit) in LIMITS.items()
    ]
    report("page" if options.page is None else "page-own", "A page in a browser", rows, bytes=size)
    print(f"{size / 1e6:.2f} MB ({'met' if size < MOST_BYTES else 'missed'}: at most {MOST_BYTES / 1e6:g} MB)")


if __name__ == "__main__":
    main()
