"""What a page shows of the circuit's edges out of the input."""

from collections.abc import Iterator

from memcirc.report.claims import Answer, Claim
from memcirc.report.evidence import Evidence
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View
from memcirc.verification.trivial import FromInput


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    for row in evidence.of(FromInput):
        alone = (
            f"{label}: {row.from_input} of its {row.n_edges} edges leave the input, and have {row.input_alone:.2f} by "
            f"themselves (trivial from {row.target} on)"
        )
        if not row.trivial:
            yield Finding(f"{alone}: it does more than carry the differing token in.", True)
            continue
        without = (
            f"without them {row.smallest_without} edges are needed, which have {row.faithfulness_without:.2f} on test "
            "pairs"
            if row.smallest_without is not None
            else f"without them no circuit of this ranking reaches the target (all {row.others} other edges: "
            f"{row.others_keep:.2f} on training pairs)"
        )
        yield Finding(
            f"{alone}: a trivial circuit, which says that this token matters and not what the model does with it; "
            f"{without}.",
            False,
        )


def _more_than_the_token(circuit: Evidence) -> Answer | None:
    for row in circuit.of(FromInput):
        told = f"{row.from_input} of its {row.n_edges} edges leave the input and have {row.input_alone:.2f} alone"
        return Answer(not row.trivial, f"{row.input_alone:.2f} from the input alone", told)
    return None


CLAIMS = (
    Claim(
        "more than the token",
        "It does more than carry the differing token in: the circuit's edges out of the input do not reach the target "
        "by themselves.",
        _more_than_the_token,
    ),
)

TABLES = (
    Table(
        FromInput, "Edges out of the input alone",
        ("mode", "direction", "n_edges", "from_input", "input_alone", "target", "trivial", "smallest_without",
         "faithfulness_without", "others", "others_keep"),
        "input alone: what the circuit's edges out of the input have by themselves on test pairs; trivial: at least "
        "the target. smallest without: the smallest prefix of the ranking without any edge out of the input that "
        "reaches the target on training pairs (a dash: none), and its value on test pairs; others keep: of all edges "
        "that do not leave the input, on training pairs.",
    ),
)  # fmt: skip
VIEW = View(TABLES, findings=_findings, claims=CLAIMS)
