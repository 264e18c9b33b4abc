"""What a page shows of the circuit at later tokens."""

from collections.abc import Iterator, Sequence

import numpy as np

from memcirc.report.evidence import FEWEST_PAIRS, Evidence
from memcirc.report.figures import CHANCE, FOUND, INK, MUTED, heat, panels, styled
from memcirc.report.plotting import Figure
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View, one_plot
from memcirc.statistics import usual
from memcirc.verification.time_resolved import Moment

MAINTAINS = 0.5


@styled
def later_tokens(rows: Sequence[Moment]) -> Figure:
    """Faithfulness of the onset's circuit and of each delay's own, and the overlap of circuits between delays."""
    modes = list(dict.fromkeys(r.mode for r in rows))
    figure, grid = panels(2 * len(modes), height=2.7)
    for index, mode in enumerate(modes):
        some = [r for r in rows if r.mode == mode]
        curve, matrix = grid[2 * index : 2 * index + 2]
        delays = [r.delay for r in some]
        curve.plot(delays, [r.onset_faithfulness for r in some], "o-", color=FOUND, label="the onset's circuit")
        curve.plot(delays, [r.own_faithfulness for r in some], "s--", color=CHANCE, label="that token's own")
        curve.plot(delays, [r.overlap[0] for r in some], "^:", color=MUTED, label="overlap with the onset's")
        curve.set(title=f"{mode}, {some[0].n_edges} edges", xlabel="tokens after the decision", ylim=(-0.1, 1.2))
        curve.set_ylabel("faithfulness, or Jaccard")
        curve.legend(frameon=False, fontsize=7)
        values = np.array([r.overlap for r in some])
        labels = [f"+{delay}" for delay in delays]
        heat(matrix, values, labels, labels, (0.0, 1.2))
        matrix.set_aspect("equal")
        for (i, j), value in np.ndenumerate(values):
            matrix.text(j + 0.5, i + 0.5, f"{value:.2f}", ha="center", va="center", fontsize=7,
                        color="white" if value > 0.6 else INK)  # fmt: skip
        matrix.set_title("overlap of circuits (Jaccard)")
        matrix.spines[:].set_visible(False)
    return figure


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    rows = [row for row in evidence.of(Moment) if row.n_pairs >= FEWEST_PAIRS]
    if len(rows) < 2:
        return
    parts = [f"+{row.delay}: {row.onset_faithfulness:.2f} (overlap {row.overlap[0]:.2f})" for row in rows]
    last = rows[-1]
    yield Finding(
        f"{label}: on later tokens the onset's circuit {last.way.verb} {', '.join(parts)} (what initiates "
        f"would maintain at {MAINTAINS} or more at +{last.delay}).",
        last.onset_faithfulness >= MAINTAINS and usual(last.onset_faithfulness),
    )


TABLES = (
    Table(
        Moment, "The circuit at later tokens",
        ("mode", "delay", "direction", "n_edges", "n_train", "n_pairs", "overlap_with_onset", "spearman",
         "onset_faithfulness", "own_faithfulness"),
        "delay: tokens after the decision; overlap: Jaccard of that delay's circuit with the onset's; onset and own: "
        "faithfulness, on that delay's test pairs, of the onset's circuit and of its own.",
        lambda moment: [{"overlap_with_onset": moment.overlap[0]}],
    ),
)  # fmt: skip
CAPTION = "Does what initiates recitation maintain it? The onset's circuit on the tokens after the decision."
VIEW = View(TABLES, one_plot(Moment, "later", later_tokens, CAPTION), _findings)
