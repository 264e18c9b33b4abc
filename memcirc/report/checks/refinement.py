"""What a page shows of a refined circuit beside the prefix that it was cut from."""

from collections.abc import Iterator

from memcirc.report.claims import Answer, Claim
from memcirc.report.evidence import Evidence
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View
from memcirc.verification.refinement import RefinedBesidePrefix

MOST_LOST = 0.06


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    for row in evidence.of(RefinedBesidePrefix):
        interval = "" if row.low is None or row.high is None else f" ({row.low:.2f} to {row.high:.2f})"
        certificate = (
            "each of the edges left was taken out alone on validation, and what remains falls short of the target"
            if row.certified
            else f"the {row.circuits} circuits that may be measured did not suffice to try every edge"
        )
        yield Finding(
            f"{label}: of the {row.prefix} edges of the smallest prefix {row.n_edges} are left once those that can be "
            f"spared are removed; {certificate}. On {row.n_pairs} test pairs its value is {row.faithfulness:.2f} where "
            f"the prefix has {row.prefix_faithfulness:.2f}: {row.gap:.2f} less{interval} (threshold: at most "
            f"{MOST_LOST}).",
            _holds(row),
        )


def _holds(row: RefinedBesidePrefix) -> bool:
    return row.certified and row.gap <= MOST_LOST


def _minimal(circuit: Evidence) -> Answer | None:
    """Of a circuit that was not refined nothing is known but that no shorter prefix was measured to do."""
    for row in circuit.of(RefinedBesidePrefix):
        tried = "every one of them is needed" if row.certified else "not every one of them was tried"
        return Answer(
            _holds(row), f"{row.n_edges} left of {row.prefix}",
            f"{row.n_edges} of the {row.prefix} edges of its prefix are left, {tried}, and {row.gap:.2f} is lost",
        )  # fmt: skip
    for found in circuit.circuits.values():
        return Answer(None, "edges not tried", f"none of its {found.n_edges} edges was tried alone (option refine)")
    return None


CLAIMS = (
    Claim(
        "minimal",
        "Each single edge was taken out, and without it the circuit misses its target; on test pairs what was cut away "
        f"costs at most {MOST_LOST}.",
        _minimal,
    ),
)


TABLES = (
    Table(
        RefinedBesidePrefix, "Without the edges that can be spared",
        ("mode", "direction", "prefix", "n_edges", "certified", "closest", "circuits", "prefix_validation",
         "validation", "prefix_faithfulness", "faithfulness", "gap", "low", "high", "n_pairs"),
        "prefix: edges of the smallest prefix of the ranking, with its value on validation and on test pairs; n_edges: "
        "what is left of it; certified: every single edge was taken out on validation, and without it the target is "
        "missed, by at least as much as closest says; circuits: measured to find this; gap: what is lost on test "
        "pairs, with its 95 % bootstrap interval over documents.",
    ),
)  # fmt: skip
VIEW = View(TABLES, findings=_findings, claims=CLAIMS)
