"""What a page shows of what is left without the circuit."""

from collections.abc import Iterator
from typing import Any

from memcirc.report.claims import Answer, Claim
from memcirc.report.evidence import Evidence
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View
from memcirc.verification.knockout import KnockOut

BACK_UP_FREE = 0.2


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    if not evidence.of(KnockOut):
        return
    row = evidence.of(KnockOut)[0]
    first = next(iter(row.rounds), None)
    second = "" if first is None else (
        f"; without its edges a circuit of {first['n_edges']} others reaches {first['faithfulness']:.2f}"
        if first["target_met"] else f"; no circuit of other edges reaches the target (best {first['faithfulness']:.2f})"
    )  # fmt: skip
    yield Finding(
        f"{label}: without the circuit all that is left {row.way.verb} {row.without_circuit:.2f} of the behaviour "
        f"(threshold: at most {BACK_UP_FREE}){second}; {row.n_back_ups} of {row.n_candidates} further edges matter "
        "more once it is gone.",
        _holds(row),
    )


def _holds(row: KnockOut) -> bool:
    return abs(row.without_circuit) <= BACK_UP_FREE


def _necessary(circuit: Evidence) -> Answer | None:
    for row in circuit.own(KnockOut) or circuit.of(KnockOut):
        left = f"{row.without_circuit:.2f}"
        return Answer(_holds(row), f"{left} left", f"without it {left} of the behaviour is left")
    return None


CLAIMS = (Claim("necessary", f"Without it all other edges do at most {BACK_UP_FREE} of the behaviour.", _necessary),)


def _second(row: KnockOut) -> list[dict[str, Any]]:
    """The disjoint circuit that was found next, if one was sought."""
    first = next(iter(row.rounds), None)
    if first is None:
        return [{}]
    size = first["n_edges"] if first["target_met"] else f"none (best: {first['n_edges']})"
    return [{"second_circuit": size, "second_faithfulness": first["faithfulness"]}]


TABLES = (
    Table(
        KnockOut, "What is left when the circuit is knocked out",
        ("mode", "direction", "n_edges", "without_circuit", "second_circuit", "second_faithfulness", "scored_anew",
         "n_back_ups",
         "n_candidates", "incompleteness", "incompleteness_highest", "n_subsets"),
        "without circuit: faithfulness of all other edges; incompleteness: mean (highest) difference between "
        "circuit and model when the same random half of the circuit is knocked out of both; second circuit: the "
        "smallest prefix without the circuit's edges that reaches the target, of the ranking by scores in what is left "
        "of the model (not scored anew: of the circuit's own), and its faithfulness; back-ups: of the highest-ranked "
        "other edges, those whose own knock-out costs at least .01 more once the circuit is gone.",
        _second,
    ),
)  # fmt: skip
VIEW = View(TABLES, findings=_findings, claims=CLAIMS)
