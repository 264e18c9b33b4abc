"""What a page shows of the tests of the circuit hypothesis."""

from collections.abc import Iterator

from memcirc.report.evidence import Evidence
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View
from memcirc.verification.hypotheses import HypothesisTest


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    rows = evidence.of(HypothesisTest)
    if not rows:
        return
    speak = [f"{row.test} (p {row.p_value:.2g}, n {row.n})" for row in rows if row.supports]
    against = [f"{row.test} (p {row.p_value:.2g}, n {row.n})" for row in rows if row.supports is False]
    open_ = [f"{row.test} (p {row.p_value:.2g}, n {row.n}, {_power(row)})" for row in rows if row.supports is None]
    rest = f"; not rejected, which proves nothing: {', '.join(open_)}" if open_ else ""
    yield Finding(
        f"{label}: tests of the circuit hypothesis, for it: {', '.join(speak) or 'none'}; against it: "
        f"{', '.join(against) or 'none'}{rest}.",
        False if against else True if speak else None,
    )


def _power(row: HypothesisTest) -> str:
    """What would have been found in 80 % of all cases."""
    if row.detectable is None:
        return "nothing could have been found"
    return f"{row.detectable_is} would have been seen from {row.detectable:.2f} on"


TABLES = (
    Table(
        HypothesisTest, "Tests of the circuit hypothesis",
        ("mode", "test", "direction", "p_value", "n", "rejected", "supports", "effect", "effect_is", "detectable",
         "detectable_is", "null"),
        "After Shi et al. 2024, at 5 %. supports: whether the outcome speaks for the circuit; equivalence and "
        "independence can speak against it alone, and where their null stands nothing is said, since too few pairs "
        "would let it stand as well; detectable: from where on the effect would have been found in 80 % of all cases. "
        "Pairs that share a document or a family count as one.",
    ),
)  # fmt: skip
VIEW = View(TABLES, findings=_findings)
