"""The page of the study of latent thoughts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from memcirc.patching.program_runs import POLICIES
from memcirc.patching.programs import LATENT_IN
from memcirc.report.drawing import Drawing
from memcirc.report.sections import Finding, Section, TableBlock, write_page
from memcirc.studies.blocks import Axes, Column, entries, heat_map, table
from memcirc.studies.latent.results import LatentResults

TOLERANCE, ACCURATE, CHANCE = 0.05, 0.99, 0.2
RECOVERY = "share that switches"


def write_latent_page(out: Path, results: LatentResults, statement: Mapping[str, Any], half_width: float) -> Path:
    """Write the page into ``out`` and return its path."""
    introduction: tuple[str, ...] = (
        "Some models think in vectors: between question and answer they read a few inputs that are no tokens but "
        "their own last hidden state, projected and fed back. Which of these latent steps carries the answer, and "
        "in which layer?",
        "Two questions of a pair differ in one operation. A patch takes what the clean run holds at one place and "
        "step, writes it into the corrupt run, and asks whether the answer switches to the clean one. What happens "
        "to the steps after it must be said, for it decides the result: propagate recomputes later latent inputs "
        "from the patched state; freeze_latents holds them at what they were in the corrupt run.",
    )
    if results.expected is not None:
        introduction += (
            "The small model here learned to add and subtract digits modulo 10, six operations in six latent steps, "
            "so that what a patch must do is known beforehand: the vector fed at step k holds the result of "
            "operation k + 1.",
        )
    sections = [
        _model(results),
        *_by_group(out, results),
        _by_layer(out, results),
        _components(out, results),
        _switching(results, half_width),
    ]
    return write_page(
        out, "Activation patching: latent thoughts", introduction, _findings(results), sections, statement
    )


def _findings(results: LatentResults) -> list[Finding]:
    full = results.accuracy[results.n_steps]
    fewer = max((share for k, share in results.accuracy.items() if k < results.n_steps), default=float("nan"))
    known = results.expected is not None
    found = [
        Finding(
            f"With all {results.n_steps} latent steps {full:.1%} of the clean questions are answered right; with "
            f"fewer at most {fewer:.1%}.",
            (full >= ACCURATE and fewer <= CHANCE) if known else None,
        )
    ]
    if results.expected is not None:
        for name, expected in results.expected.items():
            error = float(np.abs(results.by_group[name] - expected).max())
            found.append(
                Finding(
                    f"Recovery, {name}: within {error:.3f} of what it must be (threshold: {TOLERANCE}).",
                    error <= TOLERANCE,
                )
            )
    said = f"Self-patch: writing what was there changes a run by at most {results.self_patch:.0e} of its size."
    found.append(Finding(said, True))
    for policy in POLICIES:
        best = max((c for c in results.cells if c.policy == policy), key=lambda c: c.recovery)
        place = best.component if best.layer is None else f"{best.component} of layer {best.layer}"
        found.append(
            Finding(
                f"{policy}: the best single patch is {place} at step {best.step}, {best.recovery:.0%} of {best.n} "
                f"pairs switch (95 % interval {best.low:.2f} to {best.high:.2f})."
            )
        )
    return found


def _model(results: LatentResults) -> Section:
    columns = ("clean", "says", "corrupt", "says there", "true answers")
    return Section(
        "Questions and answers",
        ("Some pairs, and what the model answers:",),
        tables=(
            TableBlock(columns, results.examples),
            entries(results.accuracy.items(), "latent steps", "answered right", "With fewer latent steps"),
            entries(
                results.partition.items(), "pairs", "count", "The four parts of all pairs",
                "Corrupt is right where it gives the clean answer all the same. Recovery is counted on the first part.",
            ),
        ),
    )  # fmt: skip


def _by_group(out: Path, results: LatentResults) -> list[Section]:
    if len(results.group_names) < 2:
        return []
    axes = Axes(
        "patched step", "thoughts differ from step", RECOVERY, y_labels=results.group_names, columns=2, rising=True
    )
    caption = "The fed vectors, and the residual stream after the last layer."
    return [
        Section(
            "When do the thoughts begin to differ?",
            ("Rows: the step from which the two runs' thoughts differ. Propagated, any clean vector from there on "
             "brings the answer back; frozen, only the last one does, because the answer is read from it.",),
            drawings=(heat_map(out, "by_group", results.by_group, axes, caption),),
        )
    ]  # fmt: skip


def _matrix(results: LatentResults, policy: str, component: str) -> np.ndarray:
    matrix = np.full((results.n_layers, results.n_steps), np.nan)
    for c in results.cells:
        if (c.policy, c.component) == (policy, component) and c.layer is not None:
            matrix[c.layer, c.step] = c.recovery
    return matrix


def _heat(out: Path, name: str, panels: dict[str, np.ndarray], caption: str) -> Drawing:
    axes = Axes("latent step", "layer", RECOVERY, columns=2 if len(panels) == 2 else 4, rising=True)
    return heat_map(out, name, panels, axes, caption)


def _by_layer(out: Path, results: LatentResults) -> Section:
    panels = {policy: _matrix(results, policy, "resid_post") for policy in POLICIES}
    columns: dict[str, Column] = {name: name for name in ("policy", "step", "recovery", "low", "high")}
    fed = [cell for cell in results.cells if cell.component == LATENT_IN]
    return Section(
        "Layers and steps",
        drawings=(_heat(out, "layers", panels, "Residual stream after each layer; all pairs."),),
        tables=(table(fed, columns, "The fed vectors", "Intervals: Wilson, 95 %."),),
    )


def _components(out: Path, results: LatentResults) -> Section:
    names = [c for c in dict.fromkeys(c.component for c in results.cells) if c != LATENT_IN]
    panels = {policy: {name: _matrix(results, policy, name) for name in names} for policy in POLICIES}
    return Section(
        "Component by component",
        drawings=tuple(
            _heat(out, f"components_{policy}", of_policy, f"Every component, {policy}.")
            for policy, of_policy in panels.items()
        ),
    )


def _switching(results: LatentResults, half_width: float) -> Section:
    ranked = sorted(results.cells, key=lambda c: (-c.recovery, c.policy))
    columns: dict[str, Column] = {
        "policy": "policy", "component": "component", "layer": "layer", "step": "step", "pairs": "n",
        "to the clean answer": "switched", "stays": "stayed", "a third": "third", "recovery": "recovery",
        "low": "low", "high": "high", "pairs needed": "needed",
    }  # fmt: skip
    between = [c for c in ranked if 0.05 < c.recovery < 0.95]
    return Section(
        "Where the answers go",
        (
            f"The strongest patches, then those in between. Pairs needed: for a 95 % interval of half width "
            f"{half_width}.",
        ),
        tables=(table([*ranked[:12], *between[:12]], columns),),
    )
