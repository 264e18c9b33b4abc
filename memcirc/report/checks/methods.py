"""What a page shows of circuits by other methods and selections."""

from memcirc.report.view import Table, View
from memcirc.verification.method_overlaps import MethodOverlap

TABLES = (
    Table(
        MethodOverlap, "Other methods and selections",
        ("mode", "method", "selection", "by", "direction", "n_edges", "jaccard", "spearman", "faithfulness"),
        "Circuits of equal size from the same training pairs: overlap with the circuit, rank correlation of score "
        "sizes, and their own faithfulness. ensemble: the mean, lowest or highest place among the methods; consistent: "
        "the circuit's own scores, edges first whose sign resampled documents agree on.",
    ),
)  # fmt: skip
VIEW = View(TABLES)
