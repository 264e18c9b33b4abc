"""Sections about the two models: what they recite and write, whether they share a basis, what they tell apart."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from memcirc.report import figures
from memcirc.report.drawing import draw
from memcirc.report.sections import Section, TableBlock
from memcirc.studies.blocks import Axes, Column, entries, heat_map, numbered, table
from memcirc.studies.pii.results import INTO, NATS, PiiResults
from memcirc.studies.pii.samples import OTHERS
from memcirc.studies.words import part

SAMPLES_SHOWN = 6
LINES = re.compile(r"\s*\n\s*")


def recitation_section(results: PiiResults) -> Section:
    """What both models recite, and the passages that the study goes on with."""
    columns: dict[str, Column] = {
        "group": "group", "model": "model", "recited": "exact", "of": "n", "mean log-probability": "mean_logprob"
    }  # fmt: skip
    by_group = sorted(results.recall, key=lambda r: r.group.startswith("type"))
    shown = [
        f"{LINES.sub(' ↵ ', s.prompt)}[{s.answer.strip()}]" + (f"   {s.copies} copies" if s.copies else "")
        for s in results.analysed
    ]
    return Section(
        "What the models recite",
        (f"The study goes on with the {len(results.analysed)} passages that the target recites and the control does "
         "not; the answer in brackets:",),
        tables=(table(by_group, columns, "By frequency and by type"),),
        shown=tuple(shown[:SAMPLES_SHOWN]),
    )  # fmt: skip


def basis_section(out: Path, results: PiiResults) -> Section:
    """Whether both models share a basis: agreement by layer, and swapped residuals and unembeddings."""
    layers = list(range(len(results.alignment.cosine)))
    curves = {"cosine": (layers, results.alignment.cosine), "CKA": (layers, results.alignment.cka)}
    if results.misaligned is not None:
        curves |= {
            "cosine, control of another initialisation": (layers, results.misaligned.cosine),
            "CKA, control of another initialisation": (layers, results.misaligned.cka),
        }
    drawn = figures.lines(curves, "layers read", "agreement of both models")
    largest = max(sweep.self_patch for sweep in results.sweeps.values())
    swaps = results.alignment.swaps.items()
    return Section(
        "Do both models share a basis?",
        ("Before any table: if the same direction means different things in both models, values of one are noise to "
         "the other. The cosine asks whether the directions agree, CKA only whether the content does.",
         f"Self-patch: writing what was there changes a run by at most {largest:.0e} of its size."),
        drawings=(draw(out, "alignment", drawn, "Agreement of the residual streams, block by block."),),
        tables=(entries(swaps, "pair", "mean log-probability", "Whose residual, whose unembedding"),),
    )  # fmt: skip


def direct_section(out: Path, results: PiiResults) -> Section:
    """Direct logit attribution in each model by itself."""
    panels = {
        name: np.concatenate([parts["heads"], parts["mlps"][:, None]], axis=1) for name, parts in results.direct.items()
    }
    panels["target minus control"] = panels["target"] - panels["control"]
    axes = Axes("head", "layer", "logits", [*numbered(panels["target"].shape[1] - 1), "MLP"])

    def total(model: Mapping[str, np.ndarray]) -> Column:
        return lambda part: float(np.sum(model[part]))

    columns: dict[str, Column] = {"part": str, **{name: total(parts) for name, parts in results.direct.items()}}
    return Section(
        "Direct effects on the answer",
        ("What embedding, heads and MLPs write straight onto the answer's tokens (logit minus the mean logit), each "
         "model by itself.",),
        drawings=(heat_map(out, "direct", panels, axes, "Direct effects, mean over passages and answer tokens."),),
        tables=(table(("embed", "heads", "mlps", "biases"), columns, "Sums"),),
    )  # fmt: skip


def separation_section(out: Path, results: PiiResults) -> list[Section]:
    """How far recited passages stand apart from others in both models."""
    s = results.separation
    if s is None:
        return [Section("Memorized against other passages", ("Not drawn: two passages of either kind are needed.",))]
    curves = {name: (s.layers, values) for name, values in s.silhouettes.items()}
    panels = {}
    for name, xy in s.pca.items():
        first, second = s.pca_shares[name][:2]
        panels[f"{name} ({first:.0%}, {second:.0%})"] = {
            "memorized": (xy[s.memorized, 0], xy[s.memorized, 1]),
            "others": (xy[~s.memorized, 0], xy[~s.memorized, 1]),
        }
    drawn = figures.points(panels, "", "")
    return [
        Section(
            "Memorized against other passages",
            (f"The residual stream at the end of the prompt, passages that the target recites against {OTHERS}. "
             "The control recites neither: what separates there is the wording, not memory.",),
            drawings=(
                draw(out, "separation", figures.lines(curves, "after layer", "silhouette"),
                     "Separation by layer: 1 well apart, 0 on top of one another."),
                draw(out, "projections", drawn,
                     f"Principal components after layer {s.best_layer}, where they separate best in the target, with "
                     "their shares of the variance."),
            ),
        )
    ]  # fmt: skip


def generation_section(results: PiiResults) -> Section:
    """What is written freely, and from prompts slightly changed."""
    columns = ("prompt", "recited", "of", "first answer")
    shown = ("prompt", "truth", "target", "control", "control, patched")
    return Section(
        "Free generation",
        ("Last column: the restoring set is patched from the target at every step of the control's own generation, "
         "both models in lockstep over what the control writes.",),
        tables=(
            TableBlock(shown, results.generations, "What they write"),
            TableBlock(columns, results.variants, "Brittleness: the prompt slightly changed (target)"),
        ),
    )  # fmt: skip


def misaligned_section(out: Path, results: PiiResults) -> list[Section]:
    """The same sweep into a control that shares no basis; none where there is no such control."""
    if results.misaligned is None:
        return []
    both = {"same base": results.effects[INTO], "another initialisation": results.misaligned_effects}
    curves = {
        f"{part(kind)}, {name}": ([e.layer for e in rows if e.kind == kind], [e.effect for e in rows if e.kind == kind])
        for name, rows in both.items()
        for kind in ("resid_post", "pattern")
    }
    drawn = figures.lines(curves, "layer", "nats")
    return [
        Section(
            "A control of another initialisation",
            (f"WARNING: {results.misaligned.warning}.",
             "The same sweep into a control that was trained on the same documents from other initial weights. "
             "If residual patches hurt and attention patterns, which are not written in any basis, do not: that is the "
             "signature of misaligned bases, not of a pathway."),
            drawings=(draw(out, "misaligned", drawn, f"Into both controls: {NATS}."),),
        )
    ]  # fmt: skip
