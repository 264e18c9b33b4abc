"""What a page shows of the search for a circuit that memorized text alone needs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memcirc.report.evidence import Evidence
from memcirc.report.figures import CHANCE, FOUND, INK, MUTED, styled
from memcirc.report.plotting import Figure
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View, by_mode, one_plot
from memcirc.verification.specific import SpecificSearch


@styled
def tradeoff(rows: Sequence[SpecificSearch]) -> Figure:
    """What circuits add to memorized passages against what they add to other text, of those that none beats in both."""
    figure, grid = by_mode(rows, 3.0)
    for axes, mode, some in grid:
        for row in some:
            other, memorized = ([each[name] for each in row.tradeoff] for name in ("other", "memorized"))
            top = max((*memorized, row.at_least)) * 1.05
            axes.fill_between([0, row.at_most], row.at_least, top, color=FOUND, alpha=0.15, linewidth=0, label="wanted")
            axes.plot([0, top], [0, top], color=MUTED, linewidth=0.8, linestyle=":", label="both alike")
            axes.plot(other, memorized, color=FOUND, marker="o", markersize=3, label="no circuit measured is better")
            axes.axvline(
                row.at_most, color=CHANCE, linewidth=0.8, linestyle="--", label="most that other text may lose"
            )
            axes.axhline(row.at_least, color=INK, linewidth=0.8, linestyle="--", label="least for memorized passages")
            closest = {"marker": "s", "markersize": 5, "linestyle": "", "label": "closest to what is wanted"}
            axes.plot([row.chosen_other], [row.chosen_memorized], color=INK, **closest)
        axes.set(title=mode, xlabel="added to other text, nats a token")
    figure.axes[0].set_ylabel("added to memorized passages")
    figure.axes[0].legend(frameon=False, fontsize=7, loc="lower left", bbox_to_anchor=(0.0, 1.1), ncols=2)
    return figure


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    for row in evidence.of(SpecificSearch):
        wanted = (
            f"at least {row.at_least:g} nats a token to memorized passages and at most {row.at_most:g} to other text"
        )
        tested = (
            f"on passages that it was not chosen on it adds {row.memorized:.2f} to memorized ones and {row.other:.2f} "
            f"to {row.text} text"
        )
        if row.met:
            needed = "every one of which is needed" if row.certified else "not all of which were tried"
            yield Finding(
                f"{label}: without a twin, a search for a circuit that adds {wanted} when it is taken out finds one of "
                f"{row.n_edges} edges, {needed}; {tested}.",
                row.memorized >= row.at_least and row.other <= row.at_most,
            )
        else:
            yield Finding(
                f"{label}: without a twin, none of {row.circuits} circuits measured adds {wanted} when it is taken "
                f"out. The closest has {row.n_edges} edges and adds {row.chosen_memorized:.2f} and "
                f"{row.chosen_other:.2f}; {tested}.",
                False,
            )


def _traded(row: SpecificSearch) -> Sequence[Mapping[str, Any]]:
    return row.tradeoff


TABLES = (
    Table(
        SpecificSearch, "A circuit that memorized text alone needs, sought without a twin",
        ("mode", "run_mode", "at_least", "at_most", "met", "certified", "n_edges", "weight", "overlap", "circuits",
         "chosen_memorized", "chosen_other", "n_memorized", "memorized", "memorized_low", "memorized_high", "n_other",
         "text", "other", "other_low", "other_high"),
        "Nats a token that taking a circuit out (its mean over ordinary text in its place) adds to the loss of "
        "completions; met: at least and at most hold on the passages that it was chosen on (chosen memorized, chosen "
        "other); memorized, other: on passages that it was not, with 95 % bootstrap intervals; text: the kind that is "
        "harmed most; weight: of other text in the ranking; overlap: Jaccard with the circuit of this mode.",
    ),
    Table(
        SpecificSearch, "What a specific circuit would cost: the best trade-off measured",
        ("mode", "n_edges", "weight", "memorized", "other"),
        "Of all circuits measured those of which none adds more to memorized passages and less to other text.",
        _traded,
    ),
)  # fmt: skip
CAPTION = (
    "What taking circuits out adds to memorized passages, and to the other text that is harmed most, of those that no "
    "circuit measured beats in both. A specific circuit lies in the shaded strip, left of the dashed upright line and "
    "above the level one; on the dotted line both kinds of text lose alike."
)
VIEW = View(TABLES, one_plot(SpecificSearch, "tradeoff", tradeoff, CAPTION), _findings)
