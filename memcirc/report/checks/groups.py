"""What a page shows of the circuits of parts of the pairs."""

from collections.abc import Iterator

from memcirc.report.evidence import Evidence
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View
from memcirc.verification.groups import Group

ONE_CIRCUIT = 0.5


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    """Whether each kind of parts shares one circuit."""
    rows = evidence.of(Group)
    for by in dict.fromkeys(row.by for row in rows):
        some = [row for row in rows if row.by == by]
        mean = sum(row.overlap_others for row in some) / len(some)
        sizes = ", ".join(f"{row.part}: {'none' if row.smallest is None else row.smallest}" for row in some)
        yield Finding(
            f"{label}: circuits of {len(some)} parts by {by} overlap with each other by {mean:.2f} (Jaccard; random "
            f"circuits of this size: {some[0].by_chance:.2f}; threshold for one circuit: at least {ONE_CIRCUIT}); "
            f"edges that each needs on its own test pairs: {sizes}.",
            mean >= ONE_CIRCUIT,
        )


TABLES = (
    Table(
        Group, "Circuits of parts of the pairs",
        ("mode", "by", "part", "n_train", "n_pairs", "n_edges", "overlap", "overlap_others", "by_chance", "smallest",
         "faithfulness", "note"),
        "Circuits of as many edges, found on a part of the training pairs by the circuit's own method; overlap: with "
        "the circuit of all (Jaccard), with those of the other parts, and of random circuits of this size; smallest: "
        "first size on a grid at which the part's own ranking reaches the target on its test pairs; faithfulness: of "
        "the circuit of all on those.",
    ),
)  # fmt: skip
VIEW = View(TABLES, findings=_findings)
