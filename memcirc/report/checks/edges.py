"""What a page shows of the edges' scores on memorized and other text."""

from collections.abc import Iterator, Mapping
from typing import Any

from memcirc.report.evidence import Evidence
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View
from memcirc.verification.edges import EdgeTests

MOSTLY = 0.5


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    for row in evidence.of(EdgeTests):
        yield Finding(
            f"{label}: {row.circuit_discovered} of its {row.n_edges} edges have other scores on {row.n_memorized} "
            f"memorized passages than on {row.n_other} of other text (false discovery rate {row.level:.0%}; threshold: "
            f"half of them); of all {row.graph_edges} edges {row.discovered} do, and {row.passing} pass the "
            f"{row.level:.0%} test alone, where {row.level * row.graph_edges:.0f} would by chance.",
            row.circuit_discovered >= MOSTLY * row.n_edges,
        )


def _strongest(row: EdgeTests) -> list[Mapping[str, Any]]:
    """A line an edge, and one that counts those that are not named."""
    rest = row.discovered - len(row.strongest)
    return [*row.strongest, *([{"edge": f"{rest} more"}] if rest else [])]


TABLES = (
    Table(
        EdgeTests, "Edges that carry more of memorized passages than of other text",
        ("mode", "n_memorized", "n_other", "graph_edges", "passing", "discovered", "n_edges", "circuit_passing",
         "circuit_discovered"),
        "Welch's test of every edge's score (nats a token, against the twin) on memorized passages against near and "
        "ordinary text; passing: alone at 5 %; discovered: with the false discovery rate at 5 %.",
    ),
    Table(
        EdgeTests, "The strongest of these edges",
        ("mode", "edge", "in_circuit", "memorized", "other", "p_value"),
        "Of the discovered edges those whose mean scores lie furthest apart; memorized, other: the mean score on such "
        "passages, nats a token; p value: of its test alone.",
        _strongest,
    ),
)  # fmt: skip
VIEW = View(TABLES, findings=_findings)
