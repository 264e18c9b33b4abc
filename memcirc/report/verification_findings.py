"""What the checks on a circuit show, in sentences: each with its numbers, what was hoped for, and whether it holds."""

from collections.abc import Mapping, Sequence
from typing import Any

from memcirc.report.findings import FEWEST_PAIRS, Finding

CHOICE_LEFT = 0.5
STABLE = 0.5
SPECIFIC = 2.0
BACK_UP_FREE = 0.2
MAINTAINS = 0.5

Row = Mapping[str, Any]


def verification_findings(task: str, verification: Mapping[str, Any]) -> list[Finding]:
    """One or two sentences a mode for every check that was made."""
    found = []
    for mode in dict.fromkeys(row["mode"] for row in verification["faithfulness"]):
        some = {
            name: [row for row in rows if row.get("mode") == mode]
            for name, rows in verification.items()
            if name not in ("statement", "refused")
        }
        label = f"{task}, {mode}"
        for check in (_structured_chance, _stability, _specificity, _tests, _knockout, _generation, _time, _dose):
            finding = check(label, some)
            if finding is not None:
                found.append(finding)
    return found


def _structured_chance(label: str, some: Mapping[str, Sequence[Row]]) -> Finding | None:
    first = next((row["direction"] for row in some["random"]), None)
    rows = [row for row in some["random"] if row["kind"] != "uniform" and row["direction"] == first]
    if not rows:
        return None
    telling = [row for row in rows if row["overlap"] <= CHOICE_LEFT]
    parts = [f"{r['kind']} {r['mean']:.2f} (95th percentile {r['q95']:.2f}, p {_p(r['p_value'])})" for r in telling]
    rest = [f"{r['kind']} ones share {r['overlap']:.0%} of its edges, which leaves little to chance" for r in rows
            if r not in telling]  # fmt: skip
    kept = ", ".join(parts) or "nothing that tells"
    text = f"{label}: it keeps {rows[0]['found']:.2f}; random circuits of its size keep {kept}"
    holds = all(row["p_value"] is not None and row["p_value"] <= 0.05 for row in telling) if telling else None
    return Finding(f"{text}{''.join(f'; {line}' for line in rest)}.", holds)


def _p(value: float | None) -> str:
    return "of too few" if value is None else f"{value:.3f}"


def _stability(label: str, some: Mapping[str, Sequence[Row]]) -> Finding | None:
    if not some["stability"]:
        return None
    row = some["stability"][0]
    splits = "" if row["jaccard_splits"] is None else f", from other splits {row['jaccard_splits']:.2f}"
    size = "" if row["smallest_low"] is None else (
        f"; the size that reaches the target lies between {row['smallest_low']} and {row['smallest_high']} "
        "edges"
    )  # fmt: skip
    return Finding(
        f"{label}: over documents its faithfulness lies between {row['low']:.2f} and {row['high']:.2f}{size}; circuits "
        f"re-discovered from resampled documents overlap with it by {row['jaccard_found']:.2f} (Jaccard; hoped for: at "
        f"least {STABLE}){splits}, and {row['core']} of its {row['n_edges']} edges are in all of them.",
        row["jaccard_found"] >= STABLE,
    )


def _specificity(label: str, some: Mapping[str, Sequence[Row]]) -> Finding | None:
    rows = {row["text"]: row for row in some["specificity"]}
    if not rows:
        return None
    own = rows["memorized"]
    others = [rows["not memorized"], rows["ordinary"]]
    highest = max(others, key=lambda row: row["rise"])
    text = (
        f"{label}: knocking it out adds {own['rise']:.2f} nats a token to memorized passages and "
        f"{highest['rise']:.2f} to {highest['text']} text (hoped for: at least {SPECIFIC:g} times as much, from "
        f"{_bound(own['low'])} on above 0, and more than 95 % of connected random circuits of its size, which add "
        f"{own['random_q95']:.2f}; their means are {own['random_rise']:.2f} and {highest['random_rise']:.2f})"
    )
    text += (
        f"; the circuit for ordinary text (overlap {own['shared_with_ordinary']:.2f}) adds "
        f"{own['ordinary_rise']:.2f} to "
        f"memorized passages and {rows['ordinary']['ordinary_rise']:.2f} to ordinary text (hoped for: at least "
        f"{SPECIFIC:g} times as much)"
    )
    copying = rows["repeated random tokens"]
    if copying["copying_rise"] is None:
        text += f"; {copying['note']}"
    else:
        text += (
            f"; copying: it adds {copying['rise']:.2f}, the copying circuit {copying['copying_rise']:.2f}, and that "
            f"adds {own['copying_rise']:.2f} to memorized passages"
        )
    holds = (
        (own["low"] or 0) > 0
        and own["rise"] > own["random_q95"]
        and _harms(own["rise"], highest["rise"])
        and _harms(rows["ordinary"]["ordinary_rise"], own["ordinary_rise"])
    )
    return Finding(f"{text}.", holds)


def _bound(low: float | None) -> str:
    return "a bound that too few documents give" if low is None else f"{low:.2f}"


def _harms(wanted: float, spared: float) -> bool:
    """Whether one rise is one, and ``SPECIFIC`` times the other."""
    return wanted > 0 and wanted >= SPECIFIC * max(spared, 0)


def _tests(label: str, some: Mapping[str, Sequence[Row]]) -> Finding | None:
    rows = some["tests"]
    if not rows:
        return None
    speak = [f"{row['test']} (p {row['p_value']:.2g}, n {row['n']})" for row in rows if row["supports"]]
    against = [f"{row['test']} (p {row['p_value']:.2g}, n {row['n']})" for row in rows if row["supports"] is False]
    open_ = [f"{row['test']} (p {row['p_value']:.2g}, n {row['n']})" for row in rows if row["supports"] is None]
    rest = f"; not rejected, which proves nothing: {', '.join(open_)}" if open_ else ""
    return Finding(
        f"{label}: tests of the circuit hypothesis, for it: {', '.join(speak) or 'none'}; against it: "
        f"{', '.join(against) or 'none'}{rest}.",
        False if against else True if speak else None,
    )


def _knockout(label: str, some: Mapping[str, Sequence[Row]]) -> Finding | None:
    if not some["knockout"]:
        return None
    row = some["knockout"][0]
    first = next(iter(row["rounds"]), None)
    second = "" if first is None else (
        f"; without its edges a circuit of {first['n_edges']} others reaches {first['faithfulness']:.2f}"
        if first["target_met"] else f"; no circuit of other edges reaches the target (best {first['faithfulness']:.2f})"
    )  # fmt: skip
    return Finding(
        f"{label}: with the circuit knocked out, {row['without_circuit']:.2f} of the behaviour is left (hoped for: "
        f"at most {BACK_UP_FREE}){second}; {row['n_back_ups']} of {row['n_candidates']} further edges matter more "
        "once it is gone.",
        abs(row["without_circuit"]) <= BACK_UP_FREE,
    )


def _generation(label: str, some: Mapping[str, Sequence[Row]]) -> Finding | None:
    runs = {row["run"]: row for row in some["generation"] if row["copies"] is None}
    if not runs:
        return None
    whole, only, without = runs["model"], runs["only the circuit"], runs["without the circuit"]
    return Finding(
        f"{label}: the model extracts {whole['extracted']:.0%} of {whole['n_passages']} memorized passages (score "
        f"{whole['score']:.2f}); with only the circuit intact {only['extracted']:.0%} ({only['score']:.2f}; hoped "
        f"for: at least half), with only it ablated {without['extracted']:.0%} ({without['score']:.2f}; random ones "
        f"ablated: {runs['without random']['extracted']:.0%}).",
        only["extracted"] >= 0.5 * whole["extracted"] and without["extracted"] < runs["without random"]["extracted"],
    )


def _time(label: str, some: Mapping[str, Sequence[Row]]) -> Finding | None:
    rows = [row for row in some["time"] if row["n_pairs"] >= FEWEST_PAIRS]
    if len(rows) < 2:
        return None
    parts = [f"+{row['delay']}: {row['onset_faithfulness']:.2f} (overlap {row['overlap'][0]:.2f})" for row in rows]
    last = rows[-1]
    return Finding(
        f"{label}: on later tokens the onset's circuit keeps {', '.join(parts)} (what initiates would maintain at "
        f"{MAINTAINS} or more at +{last['delay']}).",
        last["onset_faithfulness"] >= MAINTAINS,
    )


def _dose(label: str, some: Mapping[str, Sequence[Row]]) -> Finding | None:
    rows = some["dose"]
    if not rows or rows[0]["trend"] is None:
        return None
    parts = [f"{row['carried']:.1f} at {row['copies']} (n = {row['n_pairs']})" for row in rows]
    first = rows[0]
    return Finding(
        f"{label}: by copies the circuit carries {', '.join(parts)} of the {first['metric']}; rank correlation "
        f"{first['trend']:.2f} (p {first['trend_p']:.2f}) among memorized documents."
    )


def transfer_findings(cells: Sequence[Row]) -> list[Finding]:
    """What each task's circuit keeps on the other task, beside its own."""
    found = []
    names = [name for name in dict.fromkeys(cell["circuit"] for cell in cells) if "@" not in name]
    by = {(c["circuit"], c["data"], c["mode"], c["direction"]): c for c in cells if c["faithfulness"] is not None}
    for circuit in names:
        for other in names:
            for mode in dict.fromkeys(cell["mode"] for cell in cells):
                base = "noising" if mode == "tree" else "denoising"
                own, there = by.get((circuit, circuit, mode, base)), by.get((circuit, other, mode, base))
                if circuit != other and own is not None and there is not None:
                    few = " So few pairs prove nothing." if there["n_pairs"] < FEWEST_PAIRS else ""
                    found.append(
                        Finding(
                            f"Transfer, {mode}: the circuit of {circuit} keeps {there['faithfulness']:.2f} on {other} "
                            f"({there['n_pairs']} pairs of documents it was not found on; {own['faithfulness']:.2f} on "
                            f"its own).{few}"
                        )
                    )
    return found
