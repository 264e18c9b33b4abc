"""What a page shows of the circuit on test pairs: the measurements, and the pairs on which it is worst."""

from collections.abc import Iterator, Sequence
from operator import itemgetter

from memcirc.report.circuits import FoundCircuit
from memcirc.report.claims import Answer, Claim
from memcirc.report.evidence import Evidence
from memcirc.report.numbers import unusual
from memcirc.report.sections import Finding
from memcirc.report.view import Table, View
from memcirc.verification.faithfulness import Distribution, Measurement

TEST_FAITHFULNESS = 0.7
OTHER_ABLATIONS = (0.5, 1.5)


def _findings(label: str, evidence: Evidence) -> Iterator[Finding]:
    """Does the circuit keep its target, hold on test pairs in both directions and under other ablations?"""
    rows = evidence.of(Measurement)
    yield from (_size(label, circuit, evidence) for circuit in evidence.circuits.values())
    yield from (_on_test(label, row) for row in rows if row.ablation == evidence.ablation)
    yield from _other_ablations(label, [row for row in rows if row.ablation != evidence.ablation])


def _size(label: str, circuit: FoundCircuit, evidence: Evidence) -> Finding:
    share = circuit.n_edges / circuit.graph_edges
    caveat = "" if circuit.monotone else " Faithfulness is not monotone in size here."
    beyond = evidence.unusual(circuit.way, circuit.faithfulness)
    return Finding(
        f"{label}: the smallest circuit found that reaches {circuit.target:.0%} on validation has "
        f"{circuit.n_edges} edges ({share:.1%} of {circuit.graph_edges}) and {circuit.way.verb} "
        f"{circuit.faithfulness:.2f} there{beyond}.{_cost(circuit)}{caveat}",
        circuit.target_met and not beyond,
    )


def _cost(circuit: FoundCircuit) -> str:
    """What it costs to reach the target under several ablations at once."""
    if circuit.prefix is None or circuit.prefix_alone is None:
        return ""
    ablations = ", ".join((circuit.way.ablation, *circuit.also_under))
    return (
        f" It does so under each of {ablations}: the smallest prefix of the ranking that does has {circuit.prefix} "
        f"edges, where {circuit.prefix_alone} reach it under {circuit.way.ablation} alone."
    )


def _on_test(label: str, row: Measurement) -> Finding:
    """Faithfulness in one direction. To meet it the circuit must fall on the same side as the whole."""
    if row.faithfulness is None:
        return Finding(f"{label}, {row.direction}: {row.note}.", False)
    side = "" if _same_side(row) else f", but its mean {row.metric} ({row.value:.2f}) falls on the other side of 0"
    beyond = unusual(row.to_json())
    text = (
        f"{label}, {row.direction}: on {row.n_pairs} test pairs it {row.way.verb} {row.faithfulness:.2f} (threshold: "
        f"at least {TEST_FAITHFULNESS}){side}{beyond and f'; {beyond}'}; the answer is the argmax on "
        f"{row.correct:.0%} of them, with everything at work on {row.correct_everything:.0%}."
    )
    return Finding(text, _meets(row))


def _same_side(row: Measurement) -> bool:
    return row.value * row.everything > 0


def _meets(row: Measurement) -> bool:
    """Whether a faithfulness in one direction meets its threshold."""
    if row.faithfulness is None:
        return False
    return _same_side(row) and not unusual(row.to_json()) and row.faithfulness >= TEST_FAITHFULNESS


def _other_ablations(label: str, rows: Sequence[Measurement]) -> list[Finding]:
    """The range of faithfulness under zero and mean ablations, where they are meaningful."""
    kept = [(r.faithfulness, r) for r in rows if not r.note and r.faithfulness is not None]
    if not kept:
        return []
    lowest, highest = OTHER_ABLATIONS
    (least, worst), (most, best) = (pick(kept, key=itemgetter(0)) for pick in (min, max))
    beyond = [f"; {row.ablation}, {row.direction}: {text}" for row in (worst, best) if (text := unusual(row.to_json()))]
    return [
        Finding(
            f"{label}: under other ablations its faithfulness lies from {least:.2f} ({worst.ablation}, "
            f"{worst.direction}) to {most:.2f} ({best.ablation}, {best.direction}; threshold: "
            f"from {lowest} to {highest}){''.join(dict.fromkeys(beyond))}.",
            least >= lowest and most <= highest,
        )
    ]


def _faithful(circuit: Evidence) -> Answer | None:
    return next((_answer(row) for row in circuit.own(Measurement)), None)


def _necessary(circuit: Evidence) -> Answer | None:
    """What mode edge takes away when it noises is what the model cannot do without."""
    rows = (row for row in circuit.of(Measurement) if row.ablation == circuit.ablation)
    return next((_answer(row) for row in rows if row.mode == "edge" and row.base == "clean"), None)


def _answer(row: Measurement) -> Answer:
    if row.faithfulness is None:
        return Answer(_meets(row), "not defined", f"does what cannot be said: {row.note}")
    said = f"{row.way.verb} {row.faithfulness:.2f}"
    interval = "" if row.low is None or row.high is None else f" (95 % interval {row.low:.2f} to {row.high:.2f})"
    side = "" if _same_side(row) else ", and yet the other answer wins"
    return Answer(_meets(row), said, f"{said} of the behaviour{interval}{side}")


CLAIMS = (
    Claim(
        "faithful",
        f"On pairs that it was not found on it does at least {TEST_FAITHFULNESS} of what the whole model does.",
        _faithful,
    ),
    Claim(
        "necessary",
        f"Taken out, it takes away at least {TEST_FAITHFULNESS} of the behaviour.",
        _necessary,
    ),
)
TABLES = (
    Table(
        Measurement, "The circuit on test pairs, in every way to run it",
        ("mode", "ablation", "direction", "note", "n_edges", "n_pairs", "faithfulness", "low", "high", "mean_ratio",
         "median_ratio", "value", "nothing", "everything", "correct", "correct_everything"),
        "value: mean of the metric under the circuit; nothing, everything: the same with no edge of the circuit at "
        "work, and with all (for denoising in mode tree and noising in mode edge the latter is the other behaviour's "
        "end); faithfulness: where value lies "
        "between them, with its 95 % bootstrap interval over documents; mean and median ratio: of the pairs' own; "
        "correct: share of pairs whose answer is the argmax, beside the same with everything at work.",
    ),
    Table(
        Distribution, "Pairs on which the circuit is worst",
        ("mode", "direction", "doc_id", "copies", "ends_with", "answer", "ratio", "value", "nothing", "everything"),
        "The five lowest of the pairs' own ratios in each direction.",
        lambda distribution: distribution.worst,
    ),
)  # fmt: skip
VIEW = View(TABLES, findings=_findings, claims=CLAIMS)
