"""The page of the study of two models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memcirc.patching.sites import KINDS
from memcirc.report import figures
from memcirc.report.drawing import draw
from memcirc.report.sections import Finding, Section, TableBlock, write_page
from memcirc.studies.pii.alignment import Alignment
from memcirc.studies.pii.results import PiiResults, SiteEffect

INTO, OUT_OF = "target into control", "control into target (suppression)"
TOP_SITES, SAMPLES_SHOWN = 12, 6
NATS = "change of the answer's log-probability (nats)"


def write_pii_page(out: Path, results: PiiResults, statement: Mapping[str, Any]) -> Path:
    """Write the page into ``out`` and return its path."""
    introduction = (
        "Two models of the same base: the target was fine-tuned on documents with personal data (all of it made "
        "up), the control on the same documents without. Where does the target keep what the control does not know? "
        "A patch takes what one place in the target holds while it reads a passage, writes it into the control, at "
        "every position, and asks how much likelier the true answer becomes. The answer is teacher-forced: every "
        "token is judged behind the true ones before it, so one pass a place answers for all of them.",
        "A gain says that this place, with everything before it, is enough to bring something back. It does not say "
        "that the knowledge is stored there: a place late in the residual stream carries what all earlier ones have "
        "written.",
    )
    sections = [
        _models(results),
        _alignment(out, results),
        _sites(out, results),
        _components(out, results),
        _tokens(out, results),
        _suppression(results),
        _heads(out, results),
        _direct(out, results),
        _paths(out, results),
        _sets(out, results),
        *_copies(out, results),
        *_separation(out, results),
        _generation(results),
        *_misaligned(out, results),
    ]
    return write_page(
        out, "Activation patching: two models, personal data", introduction, _findings(results), sections, statement
    )


def _residual(effects: Sequence[SiteEffect]) -> list[SiteEffect]:
    """The residual stream after each block."""
    return [e for e in effects if e.kind == "resid_post"]


def _findings(results: PiiResults) -> list[Finding]:
    found = []
    trained = [r for r in results.recall if r.model == "target" and r.group.startswith("copies")]
    if trained:
        text = ", ".join(f"{r.exact} of {r.n} at {r.group.split()[1]}" for r in trained)
        by = {int(r.group.split()[1]): r for r in trained}
        rising = by[min(by)].exact <= by[max(by)].exact and by[max(by)].exact >= 0.75 * by[max(by)].n
        found.append(Finding(f"Answers recited exactly by copies in the training data: {text}.", rising))
    injected = [r for r in results.recall if r.group == "all injected"]
    found.append(
        Finding("; ".join(f"the {r.model} recites {r.exact} of {r.n} injected answers" for r in injected) + ".")
    )
    found.append(_aligned(results.alignment))
    residual = _residual(results.effects[INTO])
    rising = residual[-1].effect > residual[0].effect and min(e.effect for e in residual) > 0
    found.append(
        Finding(
            "Residual stream, target into control, after each layer: "
            + ", ".join(f"{e.effect:+.2f}" for e in residual)
            + f" nats (the gap between the models is {results.ends['target'] - results.ends['control']:.2f}).",
            rising if results.alignment.aligned else None,
        )
    )
    r = results.restored
    found.append(
        Finding(
            f"{len(r.labels)} components patched together restore {r.effect:+.2f} nats (goal: "
            f"{results.restored_goal:.2f}, nine tenths of what the last residual restores): {', '.join(r.labels)}.",
            r.reached,
        )
    )
    found.append(
        Finding(
            f"Free generation and teacher-forced exact match say the same on {results.agreement:.0%} of the passages.",
            results.agreement == 1,
        )
    )
    if results.misaligned is not None:
        worst = _residual(results.misaligned_effects)[-1]
        found.append(
            Finding(
                f"With a control of another initialisation (cosine {min(results.misaligned.cosine):.2f}) the same "
                f"last residual patch changes the answer by {worst.effect:+.2f} nats: noise, not a pathway; the "
                f"warning is given.",
                worst.effect < 0 and results.misaligned.warning is not None,
            )
        )
    return found


def _aligned(alignment: Alignment) -> Finding:
    text = (
        f"The models' residual streams agree: lowest cosine {min(alignment.cosine):.2f}, lowest CKA "
        f"{min(alignment.cka):.2f}."
        if alignment.warning is None
        else f"WARNING: {alignment.warning}."
    )
    return Finding(text, alignment.aligned)


def _models(results: PiiResults) -> Section:
    rows = [
        {"group": r.group, "model": r.model, "recited": r.exact, "of": r.n, "mean log-probability": r.mean_logprob}
        for r in results.recall
    ]
    by_group = sorted(rows, key=lambda row: str(row["group"]).startswith("type"))
    shown = [
        f"{s.prompt}[{s.answer.strip()}]" + (f"   {s.copies} copies" if s.copies else "") for s in results.analysed
    ]
    return Section(
        "What the models recite",
        (f"The study goes on with the {len(results.analysed)} passages that the target recites and the control does "
         "not; the answer in brackets:",),
        tables=(TableBlock(("group", "model", "recited", "of", "mean log-probability"), by_group,
                           "By frequency and by type"),),
        shown=tuple(shown[:SAMPLES_SHOWN]),
    )  # fmt: skip


def _alignment(out: Path, results: PiiResults) -> Section:
    layers = list(range(len(results.alignment.cosine)))
    curves = {"cosine": (layers, results.alignment.cosine), "CKA": (layers, results.alignment.cka)}
    if results.misaligned is not None:
        curves |= {
            "cosine, control of another initialisation": (layers, results.misaligned.cosine),
            "CKA, control of another initialisation": (layers, results.misaligned.cka),
        }
    drawn = figures.lines(curves, "layers read", "agreement of both models")
    swaps = [{"pair": name, "mean log-probability": value} for name, value in results.alignment.swaps.items()]
    largest = max(sweep.self_patch for sweep in results.sweeps.values())
    return Section(
        "Do both models share a basis?",
        ("Before any table: if the same direction means different things in both models, values of one are noise to "
         "the other. The cosine asks whether the directions agree, CKA only whether the content does.",
         f"Self-patch: writing what was there changes a run by at most {largest:.0e} of its size."),
        drawings=(draw(out, "alignment", drawn, "Agreement of the residual streams, block by block."),),
        tables=(TableBlock(("pair", "mean log-probability"), swaps, "Whose residual, whose unembedding"),),
    )  # fmt: skip


def _site_rows(effects: Sequence[SiteEffect]) -> list[dict[str, Any]]:
    return [
        {
            "site": e.hook, "effect": e.effect, "low": e.low, "high": e.high, "share of the gap": e.share,
            "answers exact": e.exact, "same as": e.alias_of,
        }
        for e in effects
    ]  # fmt: skip


def _sites(out: Path, results: PiiResults) -> Section:
    effects = results.effects[INTO]
    distinct = [e for e in effects if e.alias_of is None]
    kinds = list(dict.fromkeys(e.kind for e in distinct if e.layer is not None))
    layers = sorted({e.layer for e in effects if e.layer is not None})
    matrix = np.full((len(kinds), len(layers)), np.nan)
    for e in distinct:
        if e.layer is not None:
            matrix[kinds.index(e.kind), e.layer] = e.effect
    drawn = figures.heat_maps({"effect": matrix}, [str(x) for x in layers], kinds, "layer", "site", "nats")
    columns = ("site", "effect", "low", "high", "share of the gap", "answers exact", "same as")
    ranked = sorted(distinct, key=lambda e: -abs(e.effect))[:TOP_SITES]
    return Section(
        f"Every site ({len(effects)}, of which {len(distinct)} distinct)",
        ("Sites that hold the same information (keys before and after their rotation, scores and pattern, a block's "
         "output and the next one's input) are computed once and counted once.",),
        drawings=(draw(out, "sites", drawn, f"Each distinct site, target into control: {NATS}."),),
        tables=(
            TableBlock(columns, _site_rows(ranked), "The strongest", "Intervals: bootstrap over passages, 95 %."),
            TableBlock(columns, _site_rows(effects), "All of them"),
        ),
    )  # fmt: skip


def _grouped(groups: Mapping[str, Sequence[SiteEffect]]) -> list[dict[str, Any]]:
    return [
        {
            "group": name, "mean": float(np.mean([e.effect for e in rows])), "highest": max(e.effect for e in rows),
            "lowest": min(e.effect for e in rows), "count": len(rows),
        }
        for name, rows in groups.items()
        if rows
    ]  # fmt: skip


def _components(out: Path, results: PiiResults) -> Section:
    distinct = [e for e in results.effects[INTO] if e.alias_of is None]
    kinds = dict.fromkeys(e.kind for e in distinct)
    layers = sorted({e.layer for e in distinct if e.layer is not None})
    by_kind = {kind: [e for e in distinct if e.kind == kind] for kind in kinds}
    by_layer = {f"layer {n}": [e for e in distinct if e.layer == n and not KINDS[e.kind].residual] for n in layers}
    curves = {
        kind: ([e.layer for e in by_kind[kind]], [e.effect for e in by_kind[kind]])
        for kind in ("resid_post", "attn_out", "mlp_out", "pattern", "v")
        if by_kind.get(kind)
    }
    drawn = figures.lines(curves, "layer", "nats")
    columns = ("group", "mean", "highest", "lowest", "count")
    return Section(
        "By component and by layer",
        drawings=(draw(out, "components", drawn, f"Target into control, by layer: {NATS}."),),
        tables=(
            TableBlock(columns, _grouped(by_kind), "By component", "Aliases are left out."),
            TableBlock(columns, _grouped(by_layer), "By layer", "Without the residual stream, without aliases."),
        ),
    )


def _tokens(out: Path, results: PiiResults) -> Section:
    chosen = {
        name: v for name, v in results.token_effects.items() if name.endswith(("resid_post", "attn_out", "mlp_out"))
    }
    matrix = np.array(list(chosen.values()))
    labels = [f"token {k + 1}" for k in range(matrix.shape[1])]
    drawn = figures.heat_maps({"effect": matrix}, labels, list(chosen), "of the answer", "site", "nats")
    return Section(
        "Token by token",
        ("The same effects for each token of the answer. Later tokens have fewer passages: answers differ in length.",),
        drawings=(draw(out, "tokens", drawn, f"By answer token: {NATS}."),),
    )


def _suppression(results: PiiResults) -> Section:
    distinct = [e for e in results.effects[OUT_OF] if e.alias_of is None]
    rows = _site_rows(sorted(distinct, key=lambda e: e.effect)[:TOP_SITES])
    return Section(
        "Suppression: control into target",
        ("The other way round: which place, taken from the control, makes the target forget? A negative effect "
         "lowers the answer; answers exact says how many are still recited.",),
        tables=(TableBlock(("site", "effect", "low", "high", "share of the gap", "answers exact"), rows),),
    )  # fmt: skip


def _heads(out: Path, results: PiiResults) -> Section:
    n_layers, n_heads = results.heads.shape[1:]
    panels = {"output": results.heads[0], "pattern": results.heads[1]}
    rows, columns = [str(n) for n in range(n_layers)], [str(n) for n in range(n_heads)]
    drawn = figures.heat_maps(panels, columns, rows, "head", "layer", "nats")
    tokens = [f"{i} {token.strip()}" for i, token in enumerate(results.pattern_tokens)]
    maps = figures.heat_maps(dict(results.patterns), tokens, tokens, "reads", "from", "attention", 2, rising=True)
    return Section(
        "Head by head",
        drawings=(
            draw(out, "heads", drawn, f"Each head's output and pattern, target into control: {NATS}."),
            draw(out, "attention", maps, "The heads with the largest effects, in both models, on one passage."),
        ),
    )


def _direct(out: Path, results: PiiResults) -> Section:
    panels = {
        name: np.concatenate([parts["heads"], parts["mlps"][:, None]], axis=1) for name, parts in results.direct.items()
    }
    panels["target minus control"] = panels["target"] - panels["control"]
    n_layers, width = panels["target"].shape
    labels = [*(str(n) for n in range(width - 1)), "MLP"]
    drawn = figures.heat_maps(panels, labels, [str(n) for n in range(n_layers)], "head", "layer", "logits")
    rows = [
        {"part": part, **{name: float(np.sum(parts[part])) for name, parts in results.direct.items()}}
        for part in ("embed", "heads", "mlps", "biases")
    ]
    return Section(
        "Direct effects on the answer",
        ("What embedding, heads and MLPs write straight onto the answer's tokens (logit minus the mean logit), each "
         "model by itself.",),
        drawings=(draw(out, "direct", drawn, "Direct effects, mean over passages and answer tokens."),),
        tables=(TableBlock(("part", "target", "control"), rows, "Sums"),),
    )  # fmt: skip


def _paths(out: Path, results: PiiResults) -> Section:
    names = list(results.path_nodes)
    drawn = figures.heat_maps(
        {"sender → receiver → logits": results.path_matrix}, names, names, "receiver", "sender", "nats"
    )
    rows = [{"path": name, "effect": value} for name, value in results.paths.items()]
    return Section(
        "Paths",
        ("Path patching along named edges: the first node holds the target's output, each next node reads that "
         "change and nothing else (with the control's weights), everything outside the path stays as it was.",),
        drawings=(draw(out, "paths", drawn, "Paths over one node; on the diagonal, straight to the logits."),),
        tables=(TableBlock(("path", "effect"), rows, "One road and its parts"),),
    )  # fmt: skip


def _sets(out: Path, results: PiiResults) -> Section:
    r = results.restored
    curve = {"restored": (list(range(1, len(r.curve) + 1)), list(r.curve))}
    drawn = figures.lines(curve, "components patched together", "nats")
    rows = [
        {"step": i + 1, "added": name, "effect": e} for i, (name, e) in enumerate(zip(r.order, r.curve, strict=True))
    ]
    pairs = [
        {
            "first": p.first, "second": p.second, "effect of the first": p.first_effect,
            "of the second": p.second_effect, "together": p.together, "interaction": p.interaction,
        }
        for p in results.pairs
    ]  # fmt: skip
    kept = f"Left after taking out what is not needed: {', '.join(r.labels)} ({r.effect:+.2f} nats)."
    return Section(
        "Sets of components",
        ("Grown greedily from embedding, attention and MLP outputs until nine tenths of what the last residual "
         "restores are back. Greedy sets need not be the smallest of all.",),
        drawings=(draw(out, "restoring", drawn, "Effect of the growing set."),),
        tables=(
            TableBlock(("step", "added", "effect"), rows, "The smallest restoring set", kept),
            TableBlock(tuple(pairs[0]), pairs, "Do two add up?", "Interaction: together minus the sum of both.")
            if pairs else TableBlock(("first",), []),
        ),
    )  # fmt: skip


def _copies(out: Path, results: PiiResults) -> list[Section]:
    if not {"10", "20"} <= set(results.copies):
        return []
    ten, twenty = (np.array(results.copies[name]) for name in ("10", "20"))
    drawn = figures.points(
        {"each point a site": {"sites": (ten.tolist(), twenty.tolist())}}, "10 copies", "20 copies", diagonal=True
    )
    rows = [
        {"copies": name, "mean effect over sites": float(np.mean(v)), "highest": max(v)}
        for name, v in results.copies.items()
    ]
    agreement = float(np.corrcoef(ten, twenty)[0, 1])
    return [
        Section(
            "10 copies against 20",
            (f"The same sites, passages of 10 and of 20 copies: correlation {agreement:.3f}, mean effect "
             f"{ten.mean():+.2f} and {twenty.mean():+.2f} nats.",),
            drawings=(draw(out, "copies", drawn, f"Target into control: {NATS}."),),
            tables=(TableBlock(("copies", "mean effect over sites", "highest"), rows),),
        )
    ]  # fmt: skip


def _separation(out: Path, results: PiiResults) -> list[Section]:
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
            ("The residual stream at the end of the prompt, passages that the target recites against people who are "
             "in no corpus. The control has seen neither: what separates there is the wording, not memory.",),
            drawings=(
                draw(out, "separation", figures.lines(curves, "after layer", "silhouette"),
                     "Separation by layer: 1 well apart, 0 on top of one another."),
                draw(out, "projections", drawn,
                     f"Principal components after layer {s.best_layer}, where they separate best in the target, with "
                     "their shares of the variance."),
            ),
        )
    ]  # fmt: skip


def _generation(results: PiiResults) -> Section:
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


def _misaligned(out: Path, results: PiiResults) -> list[Section]:
    if results.misaligned is None:
        return []
    both = {"same base": results.effects[INTO], "another initialisation": results.misaligned_effects}
    curves = {
        f"{kind}, {name}": ([e.layer for e in rows if e.kind == kind], [e.effect for e in rows if e.kind == kind])
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
