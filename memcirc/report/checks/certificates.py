"""What a page shows of the edges that a few documents could move in or out."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from memcirc.report.claims import Answer, Claim
from memcirc.report.evidence import Evidence
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View
from memcirc.verification.certificates import Certified, EdgeFates

MOSTLY = 0.5


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    rows = [row for row in evidence.of(Certified) if row.deleted]
    if not rows:
        return
    one, most = rows[0], rows[-1]
    yield Finding(
        f"{label}: whichever one of {one.n_documents} groups of training documents is left out, {one.inside} of the "
        f"ranking's first {one.n_edges} edges stay among them (threshold: half of them), and {one.outside} of the "
        f"other {one.graph_edges - one.n_edges} stay out; whichever {most.deleted} are, {most.inside} stay. Of the "
        f"circuit's {one.circuit_edges} edges {one.of_circuit} are certain at one. The circuit of the certain edges "
        f"alone has {one.faithfulness:.2f} on test pairs at one, {most.faithfulness:.2f} at {most.deleted}.",
        one.inside >= MOSTLY * one.n_edges,
    )


def _certain(circuit: Evidence) -> Answer | None:
    for row in circuit.of(Certified):
        if row.deleted == 1:
            share = f"{row.inside} of the first {row.n_edges}"
            told = f"{share} edges of the ranking stay whichever group is left out"
            return Answer(row.inside >= MOSTLY * row.n_edges, share, told)
    return None


CLAIMS = (
    Claim(
        "certain",
        "No single document decides: at least half of the ranking's first edges stay among them whichever group of "
        "training documents is left out.",
        _certain,
        of_test_pairs=False,
    ),
)


def _lines(fates: EdgeFates) -> Iterable[Mapping[str, Any]]:
    for edge, (survives, share, low, high) in fates.edges.items():
        certain = "open" if survives < 0 else "without a deletion" if not survives else f"up to {survives} deleted"
        yield {"edge": edge, "certain": certain, "share": share, "low": low, "high": high}
    if fates.circuit_edges > len(fates.edges):
        yield {"edge": f"{fates.circuit_edges - len(fates.edges)} more"}


TABLES = (
    Table(
        Certified, "Edges that no few documents can move",
        ("mode", "direction", "deleted", "n_documents", "n_edges", "inside", "outside", "graph_edges", "circuit_edges",
         "of_circuit", "faithfulness"),
        "For every deletion of at most so many groups of training documents: inside, edges that stay among the "
        "ranking's first n; outside, edges that stay out of it; the rest is open (some deletion may move them, or the "
        "bound cannot tell). of circuit: the circuit's edges among those inside. faithfulness: of the edges inside "
        "alone, on test pairs.",
    ),
    Table(
        EdgeFates, "The circuit's edges: certain or open",
        ("mode", "edge", "certain", "share", "low", "high"),
        "certain: the most documents that may be deleted, whichever they are, without moving the edge out of the "
        "ranking's first edges; share: how often it is among them when a random half of the documents is left, with "
        "its 95 % interval (Clopper and Pearson).",
        _lines,
    ),
)  # fmt: skip
VIEW = View(TABLES, findings=_findings, claims=CLAIMS)
