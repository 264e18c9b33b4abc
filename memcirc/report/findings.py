"""What a run shows, in sentences: each with the number, what was hoped for, and whether it holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

TEST_FAITHFULNESS = 0.7
OTHER_ABLATIONS = (0.5, 1.5)
CHANCE_Q95 = 0.2
FEWEST_PAIRS = 10


@dataclass(frozen=True)
class Finding:
    """A sentence, and whether it is what one hoped for (None: a fact without a hope)."""

    text: str
    holds: bool | None = None


def recall_findings(copies: Sequence[int | None], exact: Sequence[bool]) -> list[Finding]:
    """Does recall rise with copies?"""
    known = [(c, e) for c, e in zip(copies, exact, strict=True) if c is not None]
    if not known:
        return [Finding(f"{np.mean(exact):.1%} of {len(exact)} windows are recited exactly.")]
    levels = sorted({c for c, _ in known})
    shares = {level: float(np.mean([e for c, e in known if c == level])) for level in levels}
    text = ", ".join(f"{share:.0%} at {level}" for level, share in shares.items())
    rising = all(shares[a] <= shares[b] + 0.02 for a, b in pairwise(levels))
    return [Finding(f"Exact recall by copies in the corpus: {text}.", rising)]


def task_findings(
    task: str, verification: Mapping[str, Any], circuits: Mapping[str, Mapping[str, Any]]
) -> list[Finding]:
    """Do the circuits keep their target, hold on test pairs in both directions and under other ablations, and beat
    chance?"""
    findings = []
    for mode, circuit in circuits.items():
        rows = [row for row in verification["faithfulness"] if row["mode"] == mode]
        findings.append(_size(f"{task}, {mode}", circuit))
        findings += [_on_test(f"{task}, {mode}", row) for row in rows if row["ablation"] == "resample"]
        findings += _other_ablations(f"{task}, {mode}", rows)
        uniform = [row for row in verification["random"] if row["mode"] == mode and row["kind"] == "uniform"]
        findings += [_chance(f"{task}, {mode}", row) for row in uniform]
    return findings


def _size(label: str, circuit: Mapping[str, Any]) -> Finding:
    share = circuit["n_edges"] / circuit["graph_edges"]
    caveat = "" if circuit["monotone"] else " Faithfulness is not monotone in size here."
    return Finding(
        f"{label}: the smallest prefix of the ranking that reaches {circuit['target']:.0%} on validation has "
        f"{circuit['n_edges']} edges ({share:.1%} of {circuit['graph_edges']}) and keeps {circuit['faithfulness']:.2f} "
        f"there.{caveat}",
        bool(circuit["target_met"]),
    )


def _on_test(label: str, row: Mapping[str, Any]) -> Finding:
    """Faithfulness in one direction. That the circuit falls on the same side as the whole is part of what is hoped."""
    if row["faithfulness"] is None:
        return Finding(f"{label}, {row['direction']}: {row['note']}.", False)
    same_side = row["value"] * row["everything"] > 0
    side = "" if same_side else f", but its mean {row['metric']} ({row['value']:.2f}) falls on the other side of 0"
    text = (
        f"{label}, {row['direction']}: on {row['n_pairs']} test pairs it keeps {row['faithfulness']:.2f} (hoped for: "
        f"at least {TEST_FAITHFULNESS}){side}; the answer is the argmax on {row['correct']:.0%} of them, with "
        f"everything at work on {row['correct_everything']:.0%}."
    )
    if row["n_pairs"] < FEWEST_PAIRS:
        return Finding(f"{text} So few pairs prove nothing.")
    return Finding(text, same_side and row["faithfulness"] >= TEST_FAITHFULNESS)


def _other_ablations(label: str, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """The range of faithfulness under zero and mean ablations, where they are meaningful."""
    others = [r for r in rows if r["ablation"] != "resample" and not r["note"] and r["faithfulness"] is not None]
    if not others:
        return []
    lowest, highest = OTHER_ABLATIONS
    worst, best = (pick(others, key=lambda r: r["faithfulness"]) for pick in (min, max))
    return [
        Finding(
            f"{label}: under other ablations it keeps from {worst['faithfulness']:.2f} ({worst['ablation']}, "
            f"{worst['direction']}) to {best['faithfulness']:.2f} ({best['ablation']}, {best['direction']}; hoped for: "
            f"from {lowest} to {highest}; far above 1 the two ends lie too close to divide by).",
            worst["faithfulness"] >= lowest and best["faithfulness"] <= highest,
        )
    ]


def _chance(label: str, row: Mapping[str, Any]) -> Finding:
    return Finding(
        f"{label}, {row['direction']}: of {row['n_circuits']} uniform random circuits of that size the mean keeps "
        f"{row['mean']:.2f}, the 95th percentile {row['q95']:.2f} (hoped for: below {CHANCE_Q95}); "
        f"{row['disconnected']:.0%} are disconnected and could keep nothing in tree mode; p = "
        f"{_p_value(row['p_value'])}.",
        row["q95"] < CHANCE_Q95,
    )


def _p_value(value: float | None) -> str:
    return "not stated, there are too few" if value is None else f"{value:.3f}"
