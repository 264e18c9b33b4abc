"""The page of the study of two models: its findings, and its sections in order."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memcirc.alignment import Alignment
from memcirc.report.sections import Finding, write_page
from memcirc.studies.pii.circuit_section import circuit_finding, circuit_section
from memcirc.studies.pii.model_sections import (
    basis_section,
    direct_section,
    generation_section,
    misaligned_section,
    recitation_section,
    separation_section,
)
from memcirc.studies.pii.part_sections import part_sections
from memcirc.studies.pii.results import INTO, PiiResults, after_blocks, in_words
from memcirc.studies.pii.site_sections import site_sections

MOST_LAYERS = 12
TITLE = "Where does a model keep personal data that it has learned? Activation patching of two models"


def _origin(statement: Mapping[str, Any]) -> str:
    """What is known of both: of those that the study trains, all; of a user's own, what they are taken for."""
    if statement.get("samples"):
        return "a target that is to know the answers, and a control of the same base that is not"
    return (
        "of the same base, the target fine-tuned on documents with personal data (all of it made up), the control on "
        "the same documents without"
    )


def write_pii_page(out: Path, results: PiiResults, statement: Mapping[str, Any]) -> Path:
    """Write the page into ``out`` and return its path."""
    introduction = (
        f"Two models: {_origin(statement)}. Where does the target keep what the control does not know? "
        "A patch takes what one place in the target holds while it reads a passage, writes it into the control, at "
        "every position, and asks how much likelier the true answer becomes. The answer is teacher-forced: every "
        "token is judged behind the true ones before it, so one pass a place answers for all of them.",
        "A gain says that this place, with everything before it, is enough to bring something back. It does not say "
        "that the knowledge is stored there: a place late in the residual stream carries what all earlier ones have "
        "written.",
    )
    sections = [
        recitation_section(results),
        basis_section(out, results),
        *site_sections(out, results),
        direct_section(out, results),
        *part_sections(out, results),
        *separation_section(out, results),
        generation_section(results),
        circuit_section(out, results.circuits),
        *misaligned_section(out, results),
    ]
    return write_page(
        out,
        TITLE,
        introduction,
        _findings(results),
        sections,
        statement,
    )


def _findings(results: PiiResults) -> list[Finding]:
    """The findings, in their order on the page."""
    injected = [r for r in results.recall if r.group == "all injected"]
    recites = "; ".join(f"the {r.model} recites {r.exact} of {r.n} injected answers" for r in injected)
    restored = results.restored
    return [
        *_by_copies(results),
        Finding(f"{recites[:1].upper()}{recites[1:]}."),
        _aligned(results.alignment),
        _rising(results),
        Finding(
            f"{len(restored.labels)} components patched together restore {restored.effect:+.2f} nats (goal: "
            f"{results.restored_goal:.2f}, nine tenths of what the last residual restores): "
            f"{in_words(results, *restored.labels)}.",
            restored.reached,
        ),
        Finding(
            f"Free generation and teacher-forced exact match say the same on {results.agreement:.0%} of the passages.",
            results.agreement == 1,
        ),
        circuit_finding(results.circuits),
        *_misaligned(results),
    ]


def _by_copies(results: PiiResults) -> list[Finding]:
    """Recitation by frequency: it meets its threshold where its share does not fall and ends at three quarters or more;
    none for samples that do not say how often they occur."""
    trained = [r for r in results.recall if r.model == "target" and r.group.startswith("copies")]
    if not trained:
        return []
    text = ", ".join(f"{r.exact} of {r.n} at {r.group.split()[1]}" for r in trained)
    by = {int(r.group.split()[1]): r.exact / r.n for r in trained}
    rising = by[min(by)] <= by[max(by)] >= 0.75
    return [Finding(f"Answers recited exactly by copies in the training data: {text}.", rising)]


def _aligned(alignment: Alignment) -> Finding:
    """Whether the models share a basis."""
    text = (
        f"The models' residual streams agree: lowest cosine {min(alignment.cosine):.2f}, lowest CKA "
        f"{min(alignment.cka):.2f}."
        if alignment.warning is None
        else f"WARNING: {alignment.warning}."
    )
    return Finding(text, alignment.aligned)


def _rising(results: PiiResults) -> Finding:
    """The residual stream's effects, layer by layer, of many layers the first, the last and the one by which half of
    that is there; no threshold where the models do not share a basis."""
    residual = after_blocks(results.effects[INTO])
    rising = residual[-1].effect > residual[0].effect and min(e.effect for e in residual) > 0
    told = f"after each layer: {', '.join(f'{e.effect:+.2f}' for e in residual)}"
    if len(residual) > MOST_LAYERS:
        half = next((e for e in residual if e.effect >= residual[-1].effect / 2), residual[-1])
        told = ", ".join(f"{e.effect:+.2f} after layer {e.layer}" for e in (residual[0], half, residual[-1]))
    return Finding(
        f"Residual stream, target into control, {told} nats (the gap between the models is "
        f"{results.ends['target'] - results.ends['control']:.2f}).",
        rising if results.alignment.aligned else None,
    )


def _misaligned(results: PiiResults) -> list[Finding]:
    """What a control of another initialisation shows; none where there is no such control."""
    if results.misaligned is None:
        return []
    worst = after_blocks(results.misaligned_effects)[-1]
    return [
        Finding(
            f"With a control of another initialisation (cosine {min(results.misaligned.cosine):.2f}) the same last "
            f"residual patch changes the answer by {worst.effect:+.2f} nats: noise, not a pathway; the warning is "
            "given.",
            worst.effect < 0 and results.misaligned.warning is not None,
        )
    ]
