"""The study of two models: where does the target keep what the control does not know?

1. Target and control, trained here or given; what they recite, by frequency and type.
2. An alignment report, before any table.
3. Every hook site patched from target into control in one teacher-forced pass a site, per answer token; each distinct
   site once (:func:`memcirc.patching.sites.aliases`); the same the other way round (suppression).
4. Heads one by one, with both models' attention; direct effects on the answer; paths along named edges.
5. The smallest set of components that restores the answer; whether pairs add up; 10 copies against 20.
6. Memorized and other passages in the residual stream: PCA, separation by layer.
7. Prompts slightly changed; free generation under a patch.
8. The same sweep with a control of another initialisation: what misalignment looks like.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memcirc.engine.weights import weights_of
from memcirc.metrics import TOKEN, Metric
from memcirc.models import Model, load_model
from memcirc.pairs.tokenizing import prompt_ids
from memcirc.patching.direct import direct_effects
from memcirc.patching.generation import Mirrored, patched_generation
from memcirc.patching.measures import Question
from memcirc.patching.patches import Patch
from memcirc.patching.paths import LOGITS, PathPatching
from memcirc.patching.prompts import prompts_of
from memcirc.patching.restoring import Restored, additivity, combined_patch, smallest_restoring
from memcirc.patching.result import Sweep
from memcirc.patching.runs import run
from memcirc.patching.sides import Comparison, check_models, compared
from memcirc.patching.sites import Site, aliases, component_sites, distinct
from memcirc.patching.sweep import patch_sweep
from memcirc.statistics import drawn_counts, grouped, resampled_means
from memcirc.studies.pii.alignment import align
from memcirc.studies.pii.config import PiiConfig
from memcirc.studies.pii.corpus import make_corpus
from memcirc.studies.pii.page import write_pii_page
from memcirc.studies.pii.projections import pca, silhouette
from memcirc.studies.pii.results import PiiResults, Recall, Separation, SiteEffect
from memcirc.studies.pii.samples import Sample, of_corpus, of_file, pairs_of, tokens_of
from memcirc.studies.pii.training import train_all
from memcirc.studies.stages import joined_tables, made_once, write_results, write_table
from memcirc.work.progress import say

LOGPROB, EXACT = "sequence_logprob", "exact_match"
RESTORED_SHARE = 0.9
MOST_SITES, PAIRED_SITES = 8, 5
HEADS_SHOWN, GENERATED = 3, 4
VARIANTS = ("as it is", "a trailing space", "a colon", "lower case")


@dataclass(frozen=True, eq=False)
class Study:
    """The two models with the passages on which they are compared."""

    target: Model
    control: Model
    samples: Sequence[Sample]
    progress: bool

    @cached_property
    def sites(self) -> list[Site]:
        return component_sites(self.control)

    @cached_property
    def leaders(self) -> dict[Site, Site]:
        return aliases(self.sites, self.control, same_model=False)

    def exact(self, model: Model, samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
        """Whether each answer is recited, and its log-probability, teacher-forced."""
        comparison, question = compared(model, pairs_of(samples), parsed(EXACT, LOGPROB))
        weights, examples = comparison.base.weights, torch.arange(len(samples), device=model.device)
        exact, logprob = question.of_final(weights, run(weights, question.prompts).final, examples).cpu().numpy()
        return exact > 0, logprob

    def sweep(
        self, patches: Sequence[Patch], samples: Sequence[Sample], suppress: bool = False, base: Model | None = None,
        tokens: bool = False,
    ) -> Sweep:  # fmt: skip
        """Target values into the control (or ``base``); ``suppress``: control values into the target."""
        into, source = (self.target, self.control) if suppress else (base or self.control, self.target)
        steps = max(len(s.answer_ids) for s in samples) if tokens else 0
        return patch_sweep(
            into, pairs_of(samples), sites=patches, source_model=source, normalize=False,
            metrics=(LOGPROB, EXACT, *(f"{TOKEN}{k}" for k in range(steps))), progress=self.progress,
        )  # fmt: skip

    def gain(self, patches: Sequence[Patch], samples: Sequence[Sample]) -> np.ndarray:
        """Mean change of the answer's log-probability, target into control."""
        sweep = self.sweep(patches, samples)
        return (sweep.values[LOGPROB] - sweep.base[LOGPROB]).mean(1)


def run_pii(run_dir: Path, config: PiiConfig, force: bool, progress: bool) -> Path:
    """Run the study in a run directory and return the page's path."""
    target, control, misaligned, samples = _models(run_dir, config, force, progress)
    check_models(control, target)
    with torch.no_grad():
        results = study(Study(target, control, samples, progress), misaligned, config.tokens)
    if results.alignment.warning:  # that of the control of another initialisation is meant, and stands on the page
        print(f"memcirc: warning: {results.alignment.warning}", file=sys.stderr)
    write_table(run_dir / "pii" / "patches.parquet", joined_tables(results.sweeps))
    statement = {**asdict(config), "target": target.name, "control": control.name, "dtype": target.dtype_name}
    write_results(run_dir / "pii" / "results.json", summary(results) | {"statement": statement})
    return write_pii_page(run_dir / "report", results, statement)


def _models(
    run_dir: Path, config: PiiConfig, force: bool, progress: bool
) -> tuple[Model, Model, Model | None, Sequence[Sample]]:
    if config.own_models:
        target, control = (load_model(name, device=config.device) for name in (config.target, config.control))
        return target, control, None, of_file(Path(config.samples), target)
    corpus, folder = make_corpus(config.seed), run_dir / "models"
    settings = {"seed": config.seed, "misaligned": config.misaligned}
    made_once(folder, settings, force, lambda: train_all(corpus, config.seed, config.misaligned, folder, progress))
    target, control = (load_model(str(folder / name), device=config.device) for name in ("target", "control"))
    other = load_model(str(folder / "misaligned"), device=config.device) if config.misaligned else None
    return target, control, other, of_corpus(corpus, target)


def study(two: Study, misaligned: Model | None, n_tokens: int) -> PiiResults:
    """Everything that is measured."""
    injected = [s for s in two.samples if s.injected]
    recited, _ = two.exact(two.target, injected)
    known, _ = two.exact(two.control, injected)
    analysed = [s for s, r, k in zip(injected, recited, known, strict=True) if r and not k]
    if not analysed:
        raise ValueError(
            f"of {len(injected)} samples the target recites {int(recited.sum())} and the control "
            f"{int(known.sum())}: there is none that the target alone recites, so nothing to compare"
        )
    comparison, question = answered(two.control, two.target, analysed)
    patches = [Patch((where,)) for where in distinct(two.sites, two.leaders)]
    say(f"{len(patches)} places of the target into the control, on {len(injected)} samples")
    into = two.sweep(patches, injected, tokens=True)
    rows = [i for i, s in enumerate(injected) if s in analysed]
    effects = {"target into control": site_effects(two, into, rows)}
    say(f"the same of the control into the target, on {len(analysed)}")
    suppress = two.sweep(patches, analysed, suppress=True)
    effects["control into target (suppression)"] = site_effects(two, suppress, range(len(analysed)))
    say("heads, and the smallest set of components that restores the answer")
    heads = _by_head(two, analysed)
    components = [s for s in distinct(two.sites, two.leaders) if s.kind == "embed" or s.about.branch]
    last = next(
        e for e in effects["target into control"] if e.kind == "resid_post" and e.layer == comparison.n_layers - 1
    )
    goal = RESTORED_SHARE * last.effect
    restored = smallest_restoring(components, lambda p: two.gain(p, analysed), goal, MOST_SITES)
    strongest = sorted(components, key=lambda s: -two_effect(effects["target into control"], s))[:PAIRED_SITES]
    patterns, tokens = _patterns(two, analysed[0], heads)
    say("paths, free generation")
    paths = PathPatching(comparison, question)
    nodes, matrix = _path_matrix(paths)
    generations, agreement = _generations(two, analysed, restored, n_tokens)
    if misaligned is not None:
        say("the same sweep with a control of another initialisation")
    other = None if misaligned is None else two.sweep(patches, analysed, base=misaligned)
    say("recall, direct effects, passages, changed prompts")
    return PiiResults(
        samples=two.samples,
        analysed=analysed,
        recall=_recall(two),
        alignment=align(comparison, question),
        sweeps={"target into control": into, "control into target": suppress}
        | ({} if other is None else {"target into misaligned control": other}),
        effects=effects,
        token_effects=_token_effects(into, rows),
        ends={
            name: float(ends[LOGPROB][rows].mean()) for name, ends in (("control", into.base), ("target", into.source))
        },
        heads=heads,
        patterns=patterns,
        pattern_tokens=tokens,
        direct={name: _direct(model, analysed) for name, model in (("target", two.target), ("control", two.control))},
        paths=_named_paths(paths),
        path_matrix=matrix,
        path_nodes=nodes,
        restored=restored,
        restored_goal=goal,
        pairs=additivity(strongest, lambda p: two.gain(p, analysed)),
        copies=_by_copies(into, injected),
        separation=_separation(two, analysed),
        variants=_variants(two, injected),
        generations=generations,
        agreement=agreement,
        misaligned=None if misaligned is None else align(*answered(misaligned, two.target, analysed)),
        misaligned_effects=[] if other is None else site_effects(two, other, range(len(analysed))),
    )


def answered(base: Model, source: Model, samples: Sequence[Sample]) -> tuple[Comparison, Question]:
    """Two models on the same teacher-forced samples, and the log-probability of the answers."""
    return compared(base, pairs_of(samples), parsed(LOGPROB), source)


def parsed(*names: str) -> list[Metric]:
    """The metrics of some names."""
    return [Metric.parse(name) for name in names]


def site_effects(two: Study, sweep: Sweep, rows: Sequence[int]) -> list[SiteEffect]:
    """Every site of the study with its effect, aliases with that of their leader."""
    rows = list(rows)
    change = (sweep.values[LOGPROB] - sweep.base[LOGPROB])[:, rows]
    gap = (sweep.source[LOGPROB] - sweep.base[LOGPROB])[rows].mean()
    counts = drawn_counts(grouped(two.samples[row].prompt for row in rows), 1000, seed=0)
    low, high = np.quantile(resampled_means(counts, change), [0.025, 0.975], axis=0)
    number = {patch.sites[0]: i for i, patch in enumerate(sweep.patches)}
    found = []
    for where in two.sites:
        leader = two.leaders[where]
        i = number[leader]
        found.append(
            SiteEffect(
                where.hook, where.kind, where.layer, float(change[i].mean()), float(low[i]), float(high[i]),
                float(change[i].mean() / gap) if gap else float("nan"), float(sweep.values[EXACT][i, rows].mean()),
                None if leader == where else leader.hook,
            )
        )  # fmt: skip
    return found


def two_effect(effects: Sequence[SiteEffect], where: Site) -> float:
    """The effect of one site."""
    return next(e.effect for e in effects if e.hook == where.hook)


def _recall(two: Study) -> list[Recall]:
    rows = []
    for name, model in (("target", two.target), ("control", two.control)):
        exact, logprob = two.exact(model, two.samples)
        groups: dict[str, list[int]] = {}
        for i, sample in enumerate(two.samples):
            if not sample.injected:
                groups.setdefault("people in no corpus", []).append(i)
                continue
            if sample.copies is not None:
                groups.setdefault(f"copies {sample.copies}", []).append(i)
            if sample.kind:
                groups.setdefault(f"type {sample.kind}", []).append(i)
            groups.setdefault("all injected", []).append(i)
        rows += [
            Recall(name, group, len(m), int(exact[m].sum()), float(logprob[m].mean())) for group, m in groups.items()
        ]
    return rows


def _token_effects(sweep: Sweep, rows: Sequence[int]) -> dict[str, list[float]]:
    """Mean effect of every distinct site on each answer token's log-probability."""
    steps = [metric for metric in sweep.values if metric.startswith(TOKEN)]
    found = {}
    for i, patch in enumerate(sweep.patches):
        changes = [(sweep.values[m][i] - sweep.base[m])[list(rows)] for m in steps]
        found[patch.label] = [float(np.nanmean(c)) if np.isfinite(c).any() else float("nan") for c in changes]
    return found


def _by_head(two: Study, samples: Sequence[Sample]) -> np.ndarray:
    """float [2, layer, head]: mean effect of each head's output and pattern."""
    cfg = two.control.hooked.cfg
    patches = [
        Patch((Site(kind, layer, None, (head,)),))
        for kind in ("z", "pattern")
        for layer in range(cfg.n_layers)
        for head in range(cfg.n_heads)
    ]
    return two.gain(patches, samples).reshape(2, cfg.n_layers, cfg.n_heads)


def _patterns(two: Study, sample: Sample, heads: np.ndarray) -> tuple[dict[str, np.ndarray], list[str]]:
    """Attention of the heads with the largest effects, in both models, over one passage."""
    panels: dict[str, np.ndarray] = {}
    ids: list[int] = []
    order = np.argsort(-heads[0], axis=None)[:HEADS_SHOWN]
    runs = {}
    for name, model in (("target", two.target), ("control", two.control)):
        prompts, _ = prompts_of(model, pairs_of([sample]), whole_answers=True)
        runs[name] = run(weights_of(model), prompts, ["pattern"]).found
        ids = prompts.ids[0].tolist()
    for flat in order:
        layer, head = (int(i) for i in np.unravel_index(flat, heads[0].shape))
        for name, found in runs.items():
            title = f"{name}, head {layer}.{head} ({heads[0, layer, head]:+.2f} nats)"
            panels[title] = found["pattern", layer][0, head].double().cpu().numpy()
    return panels, list(two.target.tokenizer.convert_ids_to_tokens(ids))


def _direct(model: Model, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """Mean direct effect on the logit of the answer's tokens (against the mean logit), every token of every answer."""
    pairs = tokens_of(samples)
    tokens = torch.tensor([pair.answer_ids[0] for pair in pairs], device=model.device)
    found = direct_effects(weights_of(model), prompts_of(model, pairs)[0], tokens, against_mean=True)
    parts = {"embed": found.embed, "heads": found.heads, "mlps": found.mlps, "biases": found.biases}
    return {name: value.double().mean(0).cpu().numpy() for name, value in parts.items()}


def _named_paths(paths: PathPatching) -> dict[str, float]:
    """Effects along the road from the input through the first attention and a middle MLP, and of its parts."""
    middle = f"m{min(3, paths.shape.n_layers - 1)}"
    named = (
        ("input", "a0", middle, LOGITS), ("a0", middle, LOGITS), (middle, LOGITS), ("a0", LOGITS), ("input", LOGITS),
        ("input", middle, LOGITS), ("input", "a0", LOGITS),
    )  # fmt: skip
    base = paths.base_values()[0]
    return {" → ".join(path): float((paths.effect(path)[0] - base).mean()) for path in named}


def _path_matrix(paths: PathPatching) -> tuple[list[str], np.ndarray]:
    """Sender x receiver: the effect of the path sender -> receiver -> logits; on the diagonal sender -> logits."""
    nodes, base = paths.nodes, paths.base_values()[0]
    matrix = np.full((len(nodes), len(nodes)), np.nan)
    for i, sender in enumerate(nodes):
        for j, receiver in enumerate(nodes):
            path = (sender, LOGITS) if i == j else (sender, receiver, LOGITS)
            if i == j or (j > i and paths.has_edge(sender, receiver)):
                matrix[i, j] = float((paths.effect(path)[0] - base).mean())
    return nodes, matrix


def _by_copies(sweep: Sweep, samples: Sequence[Sample]) -> dict[str, list[float]]:
    """Mean effect of every distinct site, for each number of copies."""
    change = sweep.values[LOGPROB] - sweep.base[LOGPROB]
    known = sorted({s.copies for s in samples if s.copies is not None})
    return {
        str(copies): change[:, [i for i, s in enumerate(samples) if s.copies == copies]].mean(1).tolist()
        for copies in known
    }


def _separation(two: Study, analysed: Sequence[Sample]) -> Separation | None:
    """None where there are fewer than two passages of either kind."""
    others = [s for s in two.samples if not s.injected]
    if min(len(others), len(analysed)) < 2:
        return None
    samples, groups = [*analysed, *others], np.array([True] * len(analysed) + [False] * len(others))
    points: dict[str, list[np.ndarray]] = {}
    for name, model in (("target", two.target), ("control", two.control)):
        prompts, _ = prompts_of(model, pairs_of(samples))
        found = run(weights_of(model), prompts, ["resid_pre"])
        rows = torch.arange(len(samples), device=model.device)
        layers = [
            found.found["resid_pre", layer][rows, prompts.read[:, 0]] for layer in range(1, model.hooked.cfg.n_layers)
        ]
        points[name] = [x.double().cpu().numpy() for x in (*layers, found.final[:, 0])]
    scores = {name: tuple(silhouette(p, groups) for p in layers) for name, layers in points.items()}
    best = int(np.argmax(scores["target"]))
    projected = {name: pca(layers[best]) for name, layers in points.items()}
    return Separation(
        layers=tuple(range(1, len(points["target"]) + 1)),
        silhouettes=scores,
        best_layer=best + 1,
        memorized=groups,
        pca={name: coordinates for name, (coordinates, _) in projected.items()},
        pca_shares={name: shares for name, (_, shares) in projected.items()},
    )


def _changed(prompt: str, variant: str) -> str:
    changes = {"a trailing space": f"{prompt} ", "a colon": f"{prompt}:", "lower case": prompt.lower()}
    return changes.get(variant, prompt)


def _variants(two: Study, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """How many answers the target still recites, freely generating, when the prompt is slightly changed."""
    tokenizer = two.target.tokenizer
    rows: list[dict[str, Any]] = []
    recited = [s for s, exact in zip(samples, two.exact(two.target, samples)[0], strict=True) if exact]
    for variant in VARIANTS:
        hits, shown = 0, ""
        for sample in recited:
            ids = torch.tensor([prompt_ids(tokenizer, _changed(sample.prompt, variant))], device=two.target.device)
            text = _generated(two, ids, len(sample.answer_ids) + 1, [], into=two.target)
            hits += text.strip().startswith(sample.answer.strip())
            shown = shown or text.strip()
        rows.append({"prompt": variant, "recited": hits, "of": len(recited), "first answer": shown})
    return rows


def _generated(two: Study, ids: Tensor, n: int, sites: Sequence[Site], into: Model) -> str:
    tokens = patched_generation(weights_of(into), ids, n, Mirrored(weights_of(two.target), sites))
    return into.decode(tokens[0].tolist())


def _generations(
    two: Study, samples: Sequence[Sample], restored: Restored, n_tokens: int
) -> tuple[list[dict[str, str]], float]:
    """What both models write freely, and the control with the restoring set patched at every step; and the share of
    passages on which the teacher-forced exact match says the same as the generated text."""
    sites = [where for where in two.sites if where.hook in restored.labels]
    forced = two.sweep([combined_patch(sites)], samples).values[EXACT][0] > 0
    rows: list[dict[str, str]] = []
    same = 0
    for sample, exact in zip(samples, forced, strict=True):
        ids = torch.tensor([sample.prompt_ids], device=two.control.device)
        n = len(sample.answer_ids)
        tokens = patched_generation(weights_of(two.control), ids, n, Mirrored(weights_of(two.target), sites))
        same += (tuple(tokens[0].tolist()) == sample.answer_ids) == bool(exact)
        if len(rows) < GENERATED:
            rows.append(
                {
                    "prompt": sample.prompt,
                    "truth": sample.answer.strip(),
                    "target": _generated(two, ids, min(n, n_tokens), [], two.target).strip(),
                    "control": _generated(two, ids, min(n, n_tokens), [], two.control).strip(),
                    "control, patched": two.control.decode(tokens[0].tolist()[:n_tokens]).strip(),
                }
            )
    return rows, same / len(samples)


def summary(results: PiiResults) -> dict[str, Any]:
    """What the JSON holds: everything but the long tables."""
    left_out = ("samples", "analysed", "sweeps", "patterns", "separation")
    content = {name: getattr(results, name) for name in results.__dataclass_fields__ if name not in left_out}
    content["analysed"] = [s.label for s in results.analysed]
    if results.separation is not None:
        content["separation"] = replace(results.separation, pca={})
    return content
