"""What a page shows of the circuit's knock-out on other text."""

from collections.abc import Iterator, Mapping, Sequence

from memcirc.report.claims import Answer, Claim
from memcirc.report.evidence import Evidence
from memcirc.report.figures import CHANCE, styled
from memcirc.report.loss_bars import Bars, loss_bars, of_the_circuit
from memcirc.report.plotting import Figure
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View, one_plot
from memcirc.verification.specificity import Dissociation

SPECIFIC = 2.0


@styled
def dissociation(rows: Sequence[Dissociation]) -> Figure:
    """What knocking the circuit out adds to the loss of each kind of text, beside random circuits of its size."""
    return loss_bars(rows, _bars, _label, "{mode}, {row.n_edges} edges knocked out")


def _bars(rows: Sequence[Dissociation]) -> list[Bars]:
    chance = [(r.random_rise, max(r.random_rise, r.random_q95)) for r in rows]
    return [
        of_the_circuit([r.rise for r in rows], [(r.low, r.high) for r in rows]),
        Bars("the circuit for ordinary text", "#2f8f6b", [r.ordinary_rise for r in rows]),
        Bars("random circuits (to the 95th percentile)", CHANCE, [r.random_rise for r in rows], chance),
    ]


def _label(row: Dissociation) -> str:
    return row.text.replace(" random", "\nrandom").replace("not ", "not\n")


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    rows = {row.text: row for row in evidence.of(Dissociation)}
    if not rows:
        return
    own, highest = rows["memorized"], _highest(rows)
    text = (
        f"{label}: knocking it out adds {own.rise:.2f} nats a token to memorized passages and "
        f"{highest.rise:.2f} to {highest.text} text (threshold: at least {SPECIFIC:g} times as much, from "
        f"{_bound(own.low)} on above 0, and more than 95 % of connected random circuits of its size, which add "
        f"{own.random_q95:.2f}; their means are {own.random_rise:.2f} and {highest.random_rise:.2f})"
    )
    text += (
        f"; the circuit for ordinary text (overlap {own.shared_with_ordinary:.2f}) adds "
        f"{own.ordinary_rise:.2f} to "
        f"memorized passages and {rows['ordinary'].ordinary_rise:.2f} to ordinary text (threshold: at least "
        f"{SPECIFIC:g} times as much)"
    )
    copying = rows["repeated random tokens"]
    if copying.copying_rise is None:
        text += f"; {copying.note}"
    else:
        text += (
            f"; copying: it adds {copying.rise:.2f}, the copying circuit {copying.copying_rise:.2f}, and that "
            f"adds {own.copying_rise:.2f} to memorized passages"
        )
    yield Finding(f"{text}.", _specific(rows))


def _highest(rows: Mapping[str, Dissociation]) -> Dissociation:
    """The other text that is harmed most."""
    return max((rows["not memorized"], rows["ordinary"]), key=lambda row: row.rise)


def _specific(rows: Mapping[str, Dissociation]) -> bool:
    return all(holds for holds, _ in _conditions(rows))


def _conditions(rows: Mapping[str, Dissociation]) -> list[tuple[bool, str]]:
    """What a specific circuit meets, and what is to be said where it does not beside what it costs both kinds."""
    own, ordinary = rows["memorized"], rows["ordinary"]
    return [
        ((own.low or 0) > 0, "too few documents to bound the first" if own.low is None else "the first may be 0"),
        (own.rise > own.random_q95, f"95 % of random circuits cost memorized passages at most {own.random_q95:.2f}"),
        (_harms(own.rise, _highest(rows).rise), ""),
        (
            _harms(ordinary.ordinary_rise, own.ordinary_rise),
            f"the circuit for ordinary text costs memorized passages {own.ordinary_rise:.2f} and ordinary text "
            f"{ordinary.ordinary_rise:.2f}",
        ),
    ]


def _claimed(circuit: Evidence) -> Answer | None:
    rows = {row.text: row for row in circuit.of(Dissociation)}
    if not rows:
        return None
    memorized, highest = rows["memorized"], _highest(rows)
    own = memorized.rise
    by_chance = _harms(own, highest.rise) and own <= memorized.random_q95
    beside = f"random {memorized.random_q95:.2f} (95 %)" if by_chance else f"other text {highest.rise:.2f}"
    against = "".join(f"; {words}" for holds, words in _conditions(rows) if words and not holds)
    return Answer(
        _specific(rows), f"{own:.2f} nats, {beside}",
        f"with its means over ordinary text in its place, it costs memorized passages {own:.2f} nats a token and "
        f"{'text that is not memorized' if highest.text == 'not memorized' else 'ordinary text'} "
        f"{highest.rise:.2f}{against}",
    )  # fmt: skip


CLAIMS = (
    Claim(
        "specific, by ordinary text",
        f"Knocked out (its mean over ordinary text in its place) it harms memorized passages at least {SPECIFIC:g} "
        "times as much as other text, and more than random circuits do; the circuit for ordinary text does the "
        "reverse.",
        _claimed,
    ),
)


def _bound(low: float | None) -> str:
    return "a bound that too few documents give" if low is None else f"{low:.2f}"


def _harms(wanted: float, spared: float) -> bool:
    """Whether one rise is one, and ``SPECIFIC`` times the other."""
    return wanted > 0 and wanted >= SPECIFIC * max(spared, 0)


def _room(row: Dissociation) -> list[dict[str, float | None]]:
    room = row.nothing - row.intact
    return [{"share_of_room": row.rise / room if room > 0 else None}]


TABLES = (
    Table(
        Dissociation, "Specificity: the same knock-out on other text",
        ("mode", "run_mode", "text", "n_passages", "intact", "knocked_out", "rise", "low", "high", "share_of_room",
         "random_rise", "random_q95", "ordinary_rise", "shared_with_ordinary", "copying_rise", "only_circuit",
         "nothing", "note"),
        "Loss of the completion in nats a token; mode: of the circuit; run mode: what was measured in; rise: what "
        "knocking the circuit out adds, with its 95 % bootstrap interval over passages; share of "
        "room: rise over what knocking everything out adds; random rise: the mean (95th percentile) of connected "
        "random circuits of its size; ordinary rise: of the circuit for ordinary text, whose overlap with this one "
        "(Jaccard) stands beside; copying rise: of the circuit for copying; both found on text that is not measured.",
        _room,
    ),
)  # fmt: skip
CAPTION = (
    "Knocking the circuit out (its edges carry their mean over ordinary text): the loss this adds for each kind of "
    "text. A memorization circuit raises the first bar alone."
)
VIEW = View(TABLES, one_plot(Dissociation, "dissociation", dissociation, CAPTION), _findings, CLAIMS)
