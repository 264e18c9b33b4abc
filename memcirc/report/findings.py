"""What a run shows, in sentences: each with the number, what was hoped for, and whether it holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

TEST_FAITHFULNESS = 0.7
CHANCE_Q95 = 0.2


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
    """Do the circuits keep their target, hold on test pairs, and beat chance?"""
    findings = []
    for mode, circuit in circuits.items():
        share = circuit["n_edges"] / circuit["graph_edges"]
        findings.append(
            Finding(
                f"{task}, {mode}: the smallest circuit reaching {circuit['target']:.0%} on validation has "
                f"{circuit['n_edges']} edges ({share:.1%} of {circuit['graph_edges']}) and keeps "
                f"{circuit['faithfulness']:.2f} there.",
                bool(circuit["target_met"]),
            )
        )
        for row in verification["faithfulness"]:
            if (row["mode"], row["ablation"], row["reverse"]) != (mode, "resample", False):
                continue
            if row["faithfulness"] is None:
                findings.append(Finding(f"{task}, {mode}: {row['note']}.", False))
                continue
            findings.append(
                Finding(
                    f"{task}, {mode}: on {row['n_pairs']} test pairs it keeps {row['faithfulness']:.2f} "
                    f"({row['direction']}, resample; hoped for: at least {TEST_FAITHFULNESS}).",
                    row["faithfulness"] >= TEST_FAITHFULNESS,
                )
            )
        for row in verification["random"]:
            if (row["mode"], row["reverse"]) == (mode, False):
                findings.append(
                    Finding(
                        f"{task}, {mode}: of {row['n_circuits']} random circuits of that size the mean keeps "
                        f"{row['mean']:.2f}, the 95th percentile {row['q95']:.2f} (hoped for: below {CHANCE_Q95}); "
                        f"{row['disconnected']:.0%} of them are disconnected; p = {row['p_value']:.3f}.",
                        row["q95"] < CHANCE_Q95,
                    )
                )
    return findings
