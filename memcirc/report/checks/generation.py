"""What a page shows of recitation under the circuit."""

from collections.abc import Iterator, Sequence

import numpy as np

from memcirc.report.claims import Answer, Claim
from memcirc.report.evidence import Evidence
from memcirc.report.figures import CHANCE, FOUND, styled
from memcirc.report.plotting import Figure
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View, by_mode, one_plot
from memcirc.verification.generation import Generation

KEPT = 0.5


@styled
def recitation(rows: Sequence[Generation]) -> Figure:
    """Share of right tokens and of exact completions under each way to keep edges."""
    figure, grid = by_mode([r for r in rows if r.copies is None], 2.5, sharex=True)
    for axes, mode, some in grid:
        y = np.arange(len(some))[::-1]
        axes.barh(y + 0.19, [r.score for r in some], 0.36, color=FOUND, label="right tokens")
        axes.barh(y - 0.19, [r.extracted for r in some], 0.36, color=CHANCE, label="exact completions")
        axes.set_yticks(y, [r.run for r in some])
        axes.set(title=f"{mode}, {some[0].n_passages} passages", xlabel="share", xlim=(0, 1))
    figure.axes[0].legend(frameon=False, fontsize=7.5, loc="lower right")
    return figure


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    runs = {row.run: row for row in evidence.of(Generation) if row.copies is None}
    if not runs:
        return
    whole, only, without = runs["model"], runs["only the circuit"], runs["without the circuit"]
    yield Finding(
        f"{label}: the model extracts {whole.extracted:.0%} of {whole.n_passages} memorized passages (score "
        f"{whole.score:.2f}); with only the circuit intact {only.extracted:.0%} ({only.score:.2f}; threshold: "
        f"at least half), with only it ablated {without.extracted:.0%} ({without.score:.2f}; random ones "
        f"ablated: {runs['without random'].extracted:.0%}).",
        only.extracted >= KEPT * whole.extracted and without.extracted < runs["without random"].extracted,
    )


def _recites(circuit: Evidence) -> Answer | None:
    runs = {row.run: row for row in circuit.of(Generation) if row.copies is None}
    if not runs:
        return None
    whole, only = runs["model"], runs["only the circuit"]
    text = (
        f"with only the circuit intact {only.extracted:.0%} of {whole.n_passages} memorized passages are recited, by "
        f"the whole model {whole.extracted:.0%}"
    )
    holds = only.extracted >= KEPT * whole.extracted if whole.extracted else None
    return Answer(holds, f"{only.extracted:.0%} of the model's {whole.extracted:.0%}", text)


CLAIMS = (
    Claim(
        "recites by itself",
        f"With only the circuit intact at least {KEPT:.0%} as many passages are recited word for word.",
        _recites,
    ),
)
TABLES = (
    Table(
        Generation, "Recitation under the circuit",
        ("mode", "run_mode", "run", "direction", "n_edges", "n_circuits", "copies", "n_passages", "extracted", "score",
         "prefix_match"),
        "Greedy completions (mode: of the circuit; run mode: what was generated in) of memorized passages of the "
        "test documents with only some edges intact, the others "
        "carrying the run of a passage that is not memorized followed by the same generated tokens; extracted: "
        "share of exact completions; score: mean share of right tokens; prefix match: mean number of leading right "
        "tokens.",
    ),
)  # fmt: skip
CAPTION = (
    "Greedy completions of memorized passages with only some edges intact, the rest carrying another passage's run."
)
VIEW = View(TABLES, one_plot(Generation, "recitation", recitation, CAPTION), _findings, CLAIMS)
