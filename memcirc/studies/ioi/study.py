"""The study of indirect object identification, from one command.

1. A model (trained here, or given) and pairs of prompts; how often it is right.
2. The metric tests itself: 1 on the clean run, 0 on the corrupt one, 0.5 half way between their logits.
3. Sweeps, denoising and noising: residual stream by layer and position; residual stream, attention and MLP outputs;
   heads; heads five ways (output, query, key, value, pattern). Queries and keys by position, of the heads where all
   positions at once have an effect. Each is kept as it ends, and not measured again.
4. Direct logit attribution of every head and MLP; attention of the heads with the strongest effects of either sign.
5. Attribution patching beside the exact effects of queries and keys.
6. Next tokens; and, if given, one factual pair of prompts, not normalised.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memcirc.metrics import Answers, Metric
from memcirc.models import Model, load_model
from memcirc.pairs.file import load_pairs
from memcirc.pairs.record import Pairs
from memcirc.pairs.tokenizing import prompt_ids
from memcirc.patching.direct import direct_effects
from memcirc.patching.grids import layout_of
from memcirc.patching.patches import Patch
from memcirc.patching.prompts import prompts_of
from memcirc.patching.result import Sweep
from memcirc.patching.runs import run
from memcirc.patching.screen import check_screen, correlation, screen
from memcirc.patching.sides import DIRECTIONS, compared
from memcirc.patching.sites import Site, check_site
from memcirc.patching.sweep import patch_sweep
from memcirc.studies.estimates import in_minutes, less_kept, seconds_of
from memcirc.studies.ioi.config import IoiConfig
from memcirc.studies.ioi.findings import METRIC, NO_EFFECT
from memcirc.studies.ioi.page import write_ioi_page
from memcirc.studies.ioi.prompts import IoiPair, drawn, words_for
from memcirc.studies.ioi.results import IoiResults, Screened
from memcirc.studies.ioi.training import train
from memcirc.studies.stages import joined_tables, made_once, write_results, write_table
from memcirc.studies.words import tokens
from memcirc.work.progress import say

FIVE_WAYS = "head_all_pos_every"
METRICS = (METRIC, "answer_prob", "answer_logprob", "rank", "kl")
SWEEPS = ("block_every", "head_out_all_pos", FIVE_WAYS)
NEXT_TOKENS = 6
SCREENED = {"head_q_by_pos": "q", "head_k_by_pos": "k"}
LEAST_HEADS = 4
SHOWN_PAIRS = 4


def run_ioi(run_dir: Path, config: IoiConfig, force: bool, progress: bool) -> Path:
    """Run the study in a run directory and return the page's path."""
    folder = config.model_name
    if not folder:
        settings = {"seed": config.seed, "steps": config.steps}
        made_once(run_dir / "model", settings, force, lambda: train(config, run_dir / "model", progress))
        folder = str(run_dir / "model")
    model = load_model(folder, device=config.device)
    if model.tokenizer is None:
        raise ValueError(f"model {config.model_name!r} has no tokenizer; the task's prompts are text")
    keep = run_dir / "ioi" / "sweeps"
    if force:
        shutil.rmtree(keep, ignore_errors=True)
    with torch.no_grad():
        results = study(model, config, progress, keep)
    write_table(run_dir / "ioi" / "patches.parquet", joined_tables(results.sweeps))
    write_results(run_dir / "ioi" / "results.json", _summary(results) | {"config": asdict(config)} | model.statement())
    return write_ioi_page(run_dir / "report", results, {**model.statement(), **asdict(config)})


def study(model: Model, config: IoiConfig, progress: bool, keep: Path) -> IoiResults:
    """Everything that is measured on one model; sweeps are kept in a folder.

    Raises:
        ValueError: a head that the model does not have, prompts of the user's that it cannot read; before any sweep.
    """
    drawn_pairs = drawn(words_for(model.tokenizer), config.n_pairs, config.seed + 1)
    pairs = encoded(model, drawn_pairs)
    for layer, head in config.chosen_heads():
        check_site(Site("pattern", layer, None, (head,)), model, len(pairs[0]))
    factual_pairs = _factual_pairs(model, config)
    sweeps = swept(model, pairs, config.every_head, progress, keep)
    say("direct effects, attention, screened sites")
    weights = model.weights
    clean, corrupt = prompts_of(model, pairs)
    answer, wrong = Answers.of(pairs, model.d_vocab, model.device).columns.unbind(1)
    logits = {"clean": model.logits(clean.ids)[:, -1], "corrupt": model.logits(corrupt.ids)[:, -1]}
    factual = None if factual_pairs is None else _factual(model, factual_pairs, progress)
    tops = {pairs[0].clean: pairs[0].clean_ids, pairs[0].corrupt: pairs[0].corrupt_ids}
    if config.clean_prompt:
        tops |= {text: prompt_ids(model.tokenizer, text) for text in (config.clean_prompt, config.corrupt_prompt)}
    return IoiResults(
        pairs=drawn_pairs[:SHOWN_PAIRS],
        correct={
            "clean": float((logits["clean"].argmax(-1) == answer).float().mean()),
            "corrupt": float((logits["corrupt"].argmax(-1) == wrong).float().mean()),
        },
        logit_diff={name: float(_difference(value, answer, wrong).mean()) for name, value in logits.items()},
        selftest=_metric_selftest(logits, answer, wrong),
        sweeps=sweeps,
        direct=direct_effects(weights, clean, answer, wrong),
        attention=_attention(model, pairs, sweeps["head_out_all_pos (denoise)"], config),
        position_labels=model.tokenizer.convert_ids_to_tokens(list(pairs[0].clean_ids)),
        top_tokens={text: next_tokens(model, ids) for text, ids in tops.items()},
        screens=_screens(model, pairs, sweeps, config.seed),
        factual=factual,
        factual_labels=() if factual_pairs is None else tokens(model, factual_pairs[0].clean_ids),
    )


def swept(model: Model, pairs: Pairs, every_head: bool, progress: bool, keep: Path) -> dict[str, Sweep]:
    """Every sweep by its name and direction, with a line before and after each: how long it took, and how long the rest
    may take."""
    plan = [(name, direction) for name in SWEEPS for direction in DIRECTIONS]
    sizes = {name: len(layout_of(name, model, len(pairs[0]), len(pairs[0])).patches) for name in SWEEPS}
    left = sum(sizes[name] for name, _ in plan)
    differ = float(np.mean([1 - pair.shared_prefix / len(pair) for pair in pairs]))
    about = left * seconds_of(model, pairs, differ)
    told = f"{in_minutes(about)}{less_kept(keep)}"
    say(f"{left} places of {len(pairs)} pairs, and heads' queries and keys by position: about {told}")
    found: dict[str, Sweep] = {}
    measured = partial(patch_sweep, model, pairs, progress=progress, keep=keep)
    of_blocks = differing(model, pairs, keep)

    def sweep(name: str, direction: str, sites: str | Sequence[Patch], metrics: str | Sequence[str] = METRIC) -> float:
        start = time.perf_counter()
        made = measured(sites=sites, direction=direction, metrics=metrics)
        found[f"{name} ({direction})"] = made
        seconds = time.perf_counter() - start
        say(f"{name} ({direction}): {len(made.patches)} places in {seconds:.1f} s")
        return seconds / len(made.patches)

    for name, direction in plan:
        each = sweep(name, direction, name, of_blocks if name == "block_every" else METRIC)
        left -= sizes[name]
        say(f"about {in_minutes(left * each)} to go before queries and keys by position")
    for name, kind in SCREENED.items():
        sweep(name, DIRECTIONS[0], by_position(found[f"{FIVE_WAYS} (denoise)"], kind, len(pairs[0]), every_head))
    return found


def differing(model: Model, pairs: Pairs, keep: Path) -> list[str]:
    """Of ``METRICS`` those in which the two runs differ, so that an effect can be normalised; always ``METRIC``, or
    there is no study."""
    one = layout_of(SWEEPS[0], model, len(pairs[0]), len(pairs[0])).patches[:1]
    ends = patch_sweep(model, pairs, sites=one, metrics=METRICS, normalize=False, keep=keep)
    left_out = [metric for metric in METRICS if metric != METRIC and not ends.contrasts(metric)]
    if left_out:
        say(f"left out, as both runs have the same: {', '.join(left_out)}")
    return [metric for metric in METRICS if metric not in left_out]


def by_position(five_ways: Sweep, kind: str, length: int, every_head: bool) -> list[Patch]:
    """Each position alone, of the heads whose query or key (``kind``) moves the answer when it is patched at all
    positions: by ``NO_EFFECT`` or more, and always the ``LEAST_HEADS`` that move it most."""
    effects = np.abs(five_ways.effects(METRIC))
    own = [i for i, patch in enumerate(five_ways.patches) if patch.sites[0].kind == kind]
    own.sort(key=lambda i: -effects[i])
    chosen = [i for rank, i in enumerate(own) if every_head or rank < LEAST_HEADS or effects[i] >= NO_EFFECT]
    return [
        Patch((replace(five_ways.patches[i].sites[0], positions=(position,)),))
        for i in sorted(chosen)
        for position in range(length)
    ]


def encoded(model: Model, pairs: Sequence[IoiPair]) -> Pairs:
    """Pairs of text in ids; ValueError for an answer that is not one token behind its prompt."""
    prompts = [
        {"clean": pair.clean, "corrupt": pair.corrupt, "answers": [pair.answer], "wrong_answers": [pair.wrong]}
        for pair in pairs
    ]
    return load_pairs({"prompts": prompts}, model, bos=model.tokenizer.bos_token_id is not None)


def _difference(logits: Tensor, answer: Tensor, wrong: Tensor) -> Tensor:
    return (logits.gather(1, answer[:, None]) - logits.gather(1, wrong[:, None]))[:, 0].double()


def _metric_selftest(logits: Mapping[str, Tensor], answer: Tensor, wrong: Tensor) -> dict[str, float]:
    """The normalised metric where its value is known.

    Raises:
        ValueError: it is not 1 on the clean run, 0 on the corrupt one and 0.5 on the mean of their logits.
    """
    low, high = (_difference(logits[name], answer, wrong).mean() for name in ("corrupt", "clean"))
    half = (logits["clean"] + logits["corrupt"]) / 2
    cases = {"clean run": (logits["clean"], 1.0), "corrupt run": (logits["corrupt"], 0.0), "half way": (half, 0.5)}
    found = {}
    for name, (value, expected) in cases.items():
        found[name] = float((_difference(value, answer, wrong).mean() - low) / (high - low))
        if not abs(found[name] - expected) < 1e-3:
            raise ValueError(f"the metric's self-test failed: {found[name]:.4f} on the {name}, not {expected}")
    return found


def next_tokens(model: Model, ids: Sequence[int]) -> list[tuple[str, float]]:
    """The most probable next tokens of a prompt, with their probabilities."""
    best = model.logits(torch.tensor([list(ids)]))[0, -1].float().softmax(-1).topk(NEXT_TOKENS)
    return [(model.decode([i]), float(p)) for p, i in zip(best.values, best.indices.tolist(), strict=True)]


def _attention(model: Model, pairs: Pairs, heads: Sweep, config: IoiConfig) -> dict[str, np.ndarray]:
    """Mean attention, on the clean prompts, of the heads with the strongest positive and negative effects, and of those
    that the user names."""
    found = run(model.weights, prompts_of(model, pairs)[0], ["pattern"]).found
    effects = heads.matrix(METRIC)
    order, top = np.argsort(-effects, axis=None), config.top_heads
    named = [int(np.ravel_multi_index(where, effects.shape)) for where in config.chosen_heads()]
    chosen = dict.fromkeys([*named, *order[:top].tolist(), *order[::-1][:top].tolist()])
    panels = {}
    for flat in chosen:
        layer, head = (int(i) for i in np.unravel_index(flat, effects.shape))
        name = f"head {layer}.{head} (effect {effects[layer, head]:+.2f})"
        panels[name] = found["pattern", layer][:, head].mean(0).double().cpu().numpy()
    return panels


def _screens(model: Model, pairs: Pairs, sweeps: Mapping[str, Sweep], seed: int) -> list[Screened]:
    """The screen of the queries, of the keys and of both together, from the same passes."""
    comparison, question = compared(model, pairs, [Metric.parse(METRIC)])
    exact = {name: sweeps[f"{name} ({DIRECTIONS[0]})"] for name in SCREENED}
    patches = [patch for sweep in exact.values() for patch in sweep.patches]
    effects = np.concatenate([sweep.changes(METRIC) for sweep in exact.values()])
    fixed, plain = (screen(comparison, patches, question, qk_fix=fix).cpu().numpy() for fix in (True, False))
    dropped = screen(comparison, patches, question, grad_drop=True).cpu().numpy()
    of_sweep = np.repeat(list(exact), [len(sweep.patches) for sweep in exact.values()])
    chosen = {name: of_sweep == name for name in exact} | {" and ".join(exact): np.full(len(patches), True)}
    return [
        _screened(name, [each[rows] for each in (effects, fixed, plain, dropped)], seed)
        for name, rows in chosen.items()
    ]


def _screened(name: str, of_patches: Sequence[np.ndarray], seed: int) -> Screened:
    """A screen beside the exact effects, each [patch, example]: exact, with the QK fix, without it, by GradDrop."""
    effects, fixed, plain, dropped = of_patches
    means = effects.mean(1)
    top = max(1, len(means) // 20)
    checked, _ = check_screen(fixed.mean(1), lambda numbers: means[list(numbers)], top, 2 * top, seed)
    return Screened(
        name,
        correlation(fixed.ravel(), effects.ravel()),
        correlation(plain.ravel(), effects.ravel()),
        correlation(dropped.ravel(), np.abs(effects).ravel()),
        checked,
    )


def _factual_pairs(model: Model, config: IoiConfig) -> Pairs | None:
    """The user's own pair, if there is one; raises what its sweep would refuse."""
    if not config.clean_prompt:
        return None
    pairs = encoded(model, [IoiPair(config.clean_prompt, config.corrupt_prompt, config.answer, config.wrong_answer)])
    compared(model, pairs, [Metric.parse(METRIC)])
    return pairs


def _factual(model: Model, pairs: Pairs, progress: bool) -> Sweep:
    """Its residual sweep, in logits."""
    return patch_sweep(model, pairs, sites="block_every", normalize=False, progress=progress)


def _summary(results: IoiResults) -> dict[str, Any]:
    """The content of the JSON file: every number but those of the long table."""
    sweeps = {
        name: {
            "axes": sweep.axes,
            "labels": [patch.label for patch in sweep.patches] if sweep.axes == ("patch",) else None,
            "ends": sweep.ends,
            "matrix": sweep.matrix(METRIC),
            "intervals": sweep.intervals(METRIC),
            "notes": sweep.notes,
        }
        for name, sweep in results.sweeps.items()
    }
    direct = {
        name: getattr(results.direct, name).double().mean(0).cpu().numpy()
        for name in ("embed", "heads", "mlps", "biases")
    }
    return {
        "correct": results.correct,
        "logit_diff": results.logit_diff,
        "metric_selftest": results.selftest,
        "sweeps": sweeps,
        "direct_logit_attribution": direct,
        "screens": results.screens,
        "top_tokens": results.top_tokens,
        "factual": None if results.factual is None else results.factual.matrix(METRIC),
    }
