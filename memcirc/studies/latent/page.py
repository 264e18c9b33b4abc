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
from memcirc.studies.latent.results import LatentCell, LatentResults
from memcirc.studies.latent.task import DIGITS
from memcirc.studies.words import at_layer, part

TOLERANCE, ACCURATE, CHANCE, SUFFICES = 0.05, 0.99, 0.2, 0.5
RECOVERY = "share of answers that switch"
TITLE = "Which latent step carries the answer, and in which layer? Activation patching of thoughts"
HOW = {"propagate": "later steps recomputed", "freeze_latents": "later steps held"}
"""What becomes of the steps after a patched one, by policy."""
GUESS = f"a guess among {DIGITS} digits is right in {1 / DIGITS:.0%}"


def write_latent_page(out: Path, results: LatentResults, statement: Mapping[str, Any], half_width: float) -> Path:
    """Write the page into ``out`` and return its path."""
    introduction: tuple[str, ...] = (
        "Some models think in vectors: between question and answer they read a few inputs that are no tokens but "
        "their own last hidden state, projected and fed back. Which of these latent steps carries the answer, and "
        "in which layer?",
        "Two questions of a pair differ in one operation. A patch takes what the clean run holds at one place and "
        "step, writes it into the corrupt run, and asks whether the answer switches to the clean one. What happens "
        "to the steps after it must be said, for it decides the result: the vectors fed later are either recomputed "
        "from the patched state (propagate), or held at what they were in the corrupt run (freeze_latents). Steps and "
        "layers count from 0.",
    )
    if results.expected is not None:
        introduction += (
            "The small model here learned to add and subtract digits modulo 10, six operations in six latent steps, "
            "so that what a patch must do is known beforehand: the vector fed at step k holds the result of "
            f"operation k + 1. {GUESS.capitalize()}.",
        )
    sections = [
        _model(results),
        *_by_group(out, results),
        _by_layer(out, results),
        _components(out, results),
        _switching(results, half_width),
    ]
    return write_page(out, TITLE, introduction, _findings(results), sections, statement)


def _findings(results: LatentResults) -> list[Finding]:
    full = results.accuracy[results.n_steps]
    fewer = max((share for k, share in results.accuracy.items() if k < results.n_steps), default=float("nan"))
    known = results.expected is not None
    found = [
        Finding(
            f"With all {results.n_steps} latent steps {full:.1%} of the clean questions are answered right; with "
            f"fewer at most {fewer:.1%}"
            + (f" (thresholds: at least {ACCURATE:.0%}, at most {CHANCE:.0%}; {GUESS})." if known else "."),
            (full >= ACCURATE and fewer <= CHANCE) if known else None,
        )
    ]
    for policy in POLICIES:
        best = max((c for c in results.cells if c.policy == policy), key=lambda c: c.recovery)
        found.append(
            Finding(
                f"With {HOW[policy]} ({policy}) the best single patch is {_place(best)} at step {best.step}: "
                f"{best.recovery:.0%} of {best.n} answers switch (95 % interval {best.low:.2f} to {best.high:.2f})."
            )
        )
    if results.expected is not None:
        for name, expected in results.expected.items():
            error = float(np.abs(results.by_group[name] - expected).max())
            found.append(
                Finding(
                    f"The share of answers that switch, {_group(name)}, is within {error:.3f} of what the task forces "
                    f"(threshold: {TOLERANCE}).",
                    error <= TOLERANCE,
                )
            )
    said = f"Self-patch: writing what was there changes a run by at most {results.self_patch:.0e} of its size."
    found.append(Finding(said, True))
    return found


def _place(cell: LatentCell) -> str:
    """Where a cell is patched, in words."""
    return part(cell.component) if cell.layer is None else at_layer(cell.component, cell.layer)


def _group(name: str, between: str = ", ") -> str:
    """What is patched and under which policy, in words."""
    policy, patched = name.split(", ")
    component, _, layer = patched.partition(" ")
    return f"{at_layer(component, int(layer)) if layer else part(component)}{between}{HOW[policy]}"


def _model(results: LatentResults) -> Section:
    columns = ("clean", "says", "corrupt", "says there", "true answers")
    text = "Some pairs, and what the model answers:"
    if results.expected is not None:
        signs = "“+3” adds 3; “3-” takes what there is so far away from 3; only the last digit of each result counts."
        text = f"A question begins with a digit. {signs} “<think>” begins the latent steps. {text}"
    return Section(
        "Questions and answers",
        (text,),
        tables=(
            TableBlock(columns, results.examples, "Some pairs"),
            entries(results.accuracy.items(), "latent steps", "answered right", "With fewer latent steps",
                    "" if results.expected is None else f"{GUESS.capitalize()}."),
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
    caption = "The vectors fed in, and the residual stream after the last layer."
    panels = {_group(name, "\n"): matrix for name, matrix in results.by_group.items()}
    return [
        Section(
            "When do the thoughts begin to differ?",
            ("Rows: the step from which the two runs' thoughts differ. With later steps recomputed, any clean vector "
             "from there on brings the answer back; with later steps held, only the last one does, because the answer "
             "is read from it. What the last layer writes at a step becomes the vector of the next one: it matters one "
             "step earlier, at the last step not at all, and with later steps held nowhere.",),
            drawings=(heat_map(out, "by_group", panels, axes, caption),),
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
    panels = {HOW[policy]: _matrix(results, policy, "resid_post") for policy in POLICIES}
    columns: dict[str, Column] = {
        "later steps": lambda c: HOW[c.policy].removeprefix("later steps "), "step": "step", "recovery": "recovery",
        "low": "low", "high": "high",
    }  # fmt: skip
    fed = [cell for cell in results.cells if cell.component == LATENT_IN]
    return Section(
        "Layers and steps",
        ("A patch that does nothing switches no answer: 0. One that only disturbs leads to a third answer, and now and "
         "then by chance to the clean one.",),
        drawings=(_heat(out, "layers", panels, "Residual stream after each layer; all pairs."),),
        tables=(table(fed, columns, "The vectors fed in", "Intervals: Wilson, 95 %."),),
    )  # fmt: skip


def _components(out: Path, results: LatentResults) -> Section:
    names = [c for c in dict.fromkeys(c.component for c in results.cells) if c != LATENT_IN]
    panels = {policy: {part(name): _matrix(results, policy, name) for name in names} for policy in POLICIES}
    return Section(
        "Component by component",
        _why_values(results),
        drawings=tuple(
            _heat(out, f"components_{policy}", of_policy, f"Every component, {HOW[policy]} ({policy}).")
            for policy, of_policy in panels.items()
        ),
    )


def _why_values(results: LatentResults) -> tuple[str, ...]:
    """Why values that are read at one layer suffice where later steps are held; nothing where none does."""
    held = [cell for cell in results.cells if cell.policy == "freeze_latents" and cell.layer is not None]
    best = max((cell for cell in held if cell.component == "v"), key=lambda cell: cell.recovery, default=None)
    if best is None or best.layer is None or best.recovery < SUFFICES:
        return ()
    later = max((c.recovery for c in held if c.layer is not None and c.layer > best.layer), default=0.0)
    return (
        f"Why do the values of layer {best.layer} at step {best.step} suffice where later steps are held "
        f"({best.recovery:.0%} of the answers switch)? Then nothing that a step makes is fed on, and what stands at "
        "its position reaches the answer only where a token behind it reads it by attention. That is done in layer "
        f"{best.layer}, by these values; what is written at the position in later layers moves at most {later:.0%}.",
    )


def _switching(results: LatentResults, half_width: float) -> Section:
    ranked = sorted(results.cells, key=lambda c: (-c.recovery, c.policy))
    columns: dict[str, Column] = {
        "later steps": lambda c: HOW[c.policy].removeprefix("later steps "), "component": lambda c: part(c.component),
        "layer": "layer", "step": "step", "pairs": "n",
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
