"""A sweep: many patches, each measured on every example, raw and normalised.

Denoising writes values of the clean run into the corrupt one and asks how much of the behaviour comes back; noising
writes values of the corrupt run into the clean one and asks how much of it is lost. Each is normalised by its own ends,

    (mean over examples patched - mean base) / (mean source - mean base),

so that 0 is the run that is written into and 1 the run whose values are written, either way. All three means are over
the examples that have the place: one too short for a patch's positions is left out of it, not counted as no effect. The
ratio for a single example is a diagnostic, left empty where its two ends coincide (:mod:`memcirc.statistics`).
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from tqdm import tqdm

from memcirc.config import names, shortened
from memcirc.engine.weights import refuse_unsupported
from memcirc.ids import Ids, id_rows, plain_ids
from memcirc.metrics import WITH_TOKENS, Metric
from memcirc.models import Model
from memcirc.patching.grids import SWEEPS, Grid, grid
from memcirc.patching.measures import Question, takes_sequence, token_answers
from memcirc.patching.measuring import Measured, measure
from memcirc.patching.patches import Patch
from memcirc.patching.runs import Prompts
from memcirc.patching.sides import Comparison, Side
from memcirc.patching.sites import check_site, site
from memcirc.statistics import LEVEL, coincide, drawn_counts, grouped, normalised

Direction = Literal["denoise", "noise"]
DIRECTIONS = ("denoise", "noise")


@dataclass(frozen=True, eq=False)
class Sweep:
    """The result of a sweep.

    ``table``: a row a patch and example with ``patch`` (number), ``label``, ``hook``, ``kind``, ``layer``, ``pos``,
    ``head``, ``source_pos`` (empty where a patch covers all, or several sites), ``example``, and for each metric its
    raw value, ``<metric>_normalized`` and ``<metric>_n``, over how many examples the patch's effect is a mean. An
    example without a position that the patch names has no value (NaN in ``values``, empty in the table). ``ends`` are
    each metric's means over all examples (base run, source run), ``resolution`` the smallest difference of one example
    that means anything; ``notes`` say what took full passes, and why; ``self_patch`` is the largest change by writing
    what was there (relative).
    """

    table: pa.Table
    values: dict[str, np.ndarray]
    base: dict[str, np.ndarray]
    source: dict[str, np.ndarray]
    resolution: dict[str, float]
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    cells: tuple[tuple[int, ...], ...]
    patches: tuple[Patch, ...]
    direction: str
    notes: tuple[str, ...]
    self_patch: float

    def __repr__(self) -> str:
        measured = ", ".join(self.values)
        n = len(next(iter(self.base.values())))
        return f"Sweep({len(self.patches)} patches of {n} examples, {self.direction}: {measured})"

    @property
    def ends(self) -> dict[str, tuple[float, float]]:
        return {m: (float(np.nanmean(self.base[m])), float(np.nanmean(self.source[m]))) for m in self.values}

    def matrix(self, metric: str = "logit_diff", normalized: bool = True) -> np.ndarray:
        """float64 array in the shape of ``transformer_lens.patching``; cells that do not exist are NaN.

        Raises:
            ValueError: the metric was not measured, or its ends coincide.
        """
        return self.arranged(self.effects(metric, normalized))

    def effects(self, metric: str = "logit_diff", normalized: bool = True) -> np.ndarray:
        """float64 [patch]: the mean over the examples that have the place, normalised (raises as :meth:`matrix`) or
        raw; NaN where none has it, or where the ends of those that do coincide."""
        known = self._known(metric)
        means = _mean(self.values[metric], known)
        if not normalized:
            return means
        check_ends(metric, *self.ends[metric], self._finest(metric))
        base, source = self.own_ends(metric)
        return normalised(means, base, source, self._finest(metric))

    def counts(self, metric: str = "logit_diff") -> np.ndarray:
        """int64 [patch]: over how many examples each effect is a mean."""
        return self._known(metric).sum(1)

    def own_ends(self, metric: str = "logit_diff") -> np.ndarray:
        """float64 [2, patch]: the means of base and source run over the examples that each effect is a mean over."""
        known = self._known(metric)
        return np.stack([_mean(run[metric], known) for run in (self.base, self.source)])

    def intervals(
        self,
        metric: str = "logit_diff",
        normalized: bool = True,
        draws: int = 1000,
        seed: int = 0,
        level: float = LEVEL,
        groups: Iterable[Hashable] | None = None,
    ) -> np.ndarray:
        """float64 [2, patch]: percentile bootstrap of :meth:`effects`, ends resampled along; of the draws those with an
        example that has the place.

        Args:
            groups: a key an example, such as its document; examples of one key are drawn together. Default: each alone.
        """
        known = self._known(metric)
        if normalized:
            check_ends(metric, *self.ends[metric], self._finest(metric))
        n = len(self.base[metric])
        counts = drawn_counts(grouped(range(n) if groups is None else groups), draws, seed)
        weights = counts @ known.T.astype(float)
        weights = np.where(weights > 0, weights, np.nan)
        patched, base, source = (
            counts @ np.where(known, run[metric], 0.0).T / weights for run in (self.values, self.base, self.source)
        )
        drawn_effects = normalised(patched, base, source, self._finest(metric)) if normalized else patched
        ends = [(1 - level) / 2, (1 + level) / 2]
        found = np.quantile(drawn_effects, ends, axis=0)
        missing = np.isnan(drawn_effects)
        some = missing.any(0) & ~missing.all(0)
        if some.any():
            found[:, some] = np.nanquantile(drawn_effects[:, some], ends, axis=0)
        return found

    def ranked(self, metric: str = "logit_diff", by: str = "signed", top: int | None = None) -> list[tuple[str, float]]:
        """Patches with their normalised effects: ``signed`` by size of either sign, ``positive`` and ``negative`` those
        of one sign, strongest first. Noise has no sign here: an effect of exactly 0 is in none of them, nor is one that
        does not exist."""
        keys = {"signed": lambda e: -abs(e), "positive": lambda e: -e, "negative": lambda e: e}
        if by not in keys:
            raise ValueError(f"ranking {by!r} is not known; accepted: {', '.join(keys)}")
        rows = [(patch.label, float(e)) for patch, e in zip(self.patches, self.effects(metric), strict=True) if e == e]
        rows = [row for row in rows if {"positive": row[1] > 0, "negative": row[1] < 0}.get(by, row[1] != 0)]
        return sorted(rows, key=lambda row: keys[by](row[1]))[:top]

    def arranged(self, of_patches: np.ndarray) -> np.ndarray:
        """A number a patch, [patch], in the shape of :meth:`matrix`."""
        array = np.full(self.shape, np.nan)
        array[tuple(np.array(self.cells).T)] = of_patches
        return array

    def _finest(self, metric: str) -> float:
        """The smallest difference of the metric's mean over the examples that means anything."""
        return self.resolution[metric] / len(self.base[metric]) ** 0.5

    def _known(self, metric: str) -> np.ndarray:
        """bool [patch, example]: what was measured."""
        if metric not in self.values:
            raise ValueError(f"metric {metric!r} was not measured; measured: {', '.join(self.values)}")
        return ~np.isnan(self.values[metric])


def _mean(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """float64 [patch]: the mean of values [patch or 1, example] over the known ones; NaN where there is none."""
    n = known.sum(1)
    return np.where(known, values, 0.0).sum(1) / np.where(n > 0, n, np.nan)


def check_ends(metric: str, base: float, source: float, resolution: float) -> None:
    """Raises ValueError where the two ends coincide, so that nothing can be normalised by them."""
    if coincide(base, source, resolution):
        raise ValueError(
            f"the ends of {metric!r} coincide (base run {base:.6g}, source run {source:.6g}, resolution "
            f"{resolution:.1g}): an effect cannot be normalised by their difference; choose another metric or prompts, "
            "or normalize=False"
        )


def patch_sweep(
    model: Model,
    clean_ids: Ids,
    corrupt_ids: Ids,
    answer_ids: Ids,
    wrong_answer_ids: Ids | None = None,
    sites: str | Sequence[str | Patch] = "resid_pre",
    direction: str = "denoise",
    metrics: str | Sequence[str] = ("logit_diff",),
    source_model: Model | None = None,
    normalize: bool = True,
    full_passes: bool = False,
    progress: bool = False,
    read_at: Ids | None = None,
    alternatives: bool = False,
) -> Sweep:
    """Write activations of one run into another, place by place, and measure what changes.

    Args:
        clean_ids, corrupt_ids: token ids [batch, pos] (or [pos] of a single prompt) as a tensor, an array or lists; the
            two prompts of an example have the same length, examples may differ in theirs.
        answer_ids, wrong_answer_ids: [batch], one token an example; or, for the metrics ``sequence_logprob`` and
            ``exact_match``, a list of whole answers, teacher-forced behind both prompts (wrong answers are not read).
        sites: a sweep's name as in ``transformer_lens.patching`` (:func:`memcirc.patching.grids.grid`), or hook names,
            each written whole, or :class:`memcirc.patching.patches.Patch` records (several sites at once, single
            positions and heads, other operations).
        direction: ``denoise`` (clean values into the corrupt run) or ``noise`` (corrupt values into the clean run).
        metrics: names of :mod:`memcirc.patching.measures`, or one of them.
        source_model: the values written come from this model (of the same shape); default: the model itself.
        normalize: also give normalised values; False for prompts without a contrast to normalise by.
        full_passes: one full forward pass a patch, as TransformerLens does it (a reference; slow).
        read_at: of each example the position whose logits predict the answer, counted from 0 (default: the prompt's
            last); not for whole answers, which stand behind the prompt.
        alternatives: the lists of ``answer_ids`` and ``wrong_answer_ids`` hold alternatives of one token each, which
            metrics average, as those of :class:`memcirc.Pair`.

    Raises:
        ValueError: prompts of unequal length; a sweep, hook, layer, position or head that does not exist, or a position
            to read outside its prompt; models of different shape; a metric whose ends coincide; answers of several
            tokens where one is needed; a failed self-test (:mod:`memcirc.patching.selftests`). One line each.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction {direction!r} is not known; accepted: {', '.join(DIRECTIONS)}")
    metrics = names(metrics)
    clean, corrupt = listed(clean_ids, "clean_ids"), listed(corrupt_ids, "corrupt_ids")
    sequence = any(takes_sequence(metric) for metric in metrics)
    if sequence and alternatives:
        raise ValueError(f"metric {metrics[0]!r} reads a whole answer, and those given are alternatives of one token")
    answers = answers_of(answer_ids, len(clean), metrics, "answer", sequence, alternatives)
    wrong = (
        []
        if wrong_answer_ids is None
        else answers_of(wrong_answer_ids, len(clean), metrics, "wrong answer", False, alternatives)
    )
    check_wrong(metrics, wrong)
    source_model = source_model or model
    check_models(model, source_model)
    whole = answers if sequence else None
    sides = [prompts_of(model, ids, whole, read_at) for ids in _checked(clean, corrupt)]
    base, source = (sides[1], sides[0]) if direction == "denoise" else (sides[0], sides[1])
    comparison = Comparison(Side(model, base), Side(source_model, source))
    layout = layout_of(sites, model, max(map(len, clean)), int(base.lengths.max()))
    single = None if sequence else token_answers(answers, wrong, model.d_vocab, model.device)
    question = Question(metrics, base, single)
    with (
        torch.no_grad(),
        tqdm(total=len(layout.patches) * len(clean), desc=layout.name, unit="patch", disable=not progress) as bar,
    ):
        measured = measure(comparison, layout.patches, question, full_passes, bar.update)
    return finished(layout, metrics, measured, direction, normalize)


def finished(layout: Grid, metrics: Sequence[str], measured: Measured, direction: str, normalize: bool) -> Sweep:
    """The record of what was measured."""
    values, base, source = (
        dict(zip(metrics, t.cpu().numpy(), strict=True)) for t in (measured.values, measured.base, measured.source)
    )
    resolution = dict(zip(metrics, measured.resolution.tolist(), strict=True))
    notes = tuple(f"full passes through TransformerLens: {reason}" for reason in measured.reasons)
    table = _table(layout, values, base, source, resolution if normalize else None)
    return Sweep(
        table=table, values=values, base=base, source=source, resolution=resolution, axes=layout.axes,
        shape=layout.shape, cells=layout.cells, patches=layout.patches, direction=direction, notes=notes,
        self_patch=measured.self_patch,
    )  # fmt: skip


def _table(layout: Grid, values: Any, base: Any, source: Any, resolution: dict[str, float] | None) -> pa.Table:
    """The long table; with normalised values where a resolution is given."""
    n_patches, n = len(layout.patches), len(next(iter(base.values())))

    def every(column: Sequence[Any]) -> np.ndarray:
        return np.repeat(np.arange(len(column)), n)

    sites = [patch.sites[0] if len(patch.sites) == 1 else None for patch in layout.patches]
    per_patch: dict[str, list[Any]] = {
        "label": [patch.label for patch in layout.patches],
        "hook": [None if s is None else s.hook for s in sites],
        "kind": [None if s is None else s.kind for s in sites],
        "layer": [None if s is None else s.layer for s in sites],
        "pos": [_single(None if s is None else s.positions) for s in sites],
        "head": [_single(None if s is None else s.heads) for s in sites],
        "source_pos": [_single(None if s is None else s.sources) for s in sites],
    }
    types = {"label": pa.string(), "hook": pa.string(), "kind": pa.string()}
    repeated = every(layout.patches)
    columns: dict[str, Any] = {"patch": pa.array(repeated, pa.int32())}
    for name, column in per_patch.items():
        columns[name] = pa.array(column, types.get(name, pa.int32())).take(pa.array(repeated))
    columns["example"] = pa.array(np.tile(np.arange(n), n_patches), pa.int32())
    for metric, raw in values.items():
        columns[metric] = pa.array(raw.reshape(-1), from_pandas=True)
        columns[f"{metric}_n"] = pa.array((~np.isnan(raw)).sum(1)[repeated], pa.int32())
        if resolution is not None:
            finest, n_examples = resolution[metric], len(base[metric])
            ends = float(np.nanmean(base[metric])), float(np.nanmean(source[metric]))
            check_ends(metric, *ends, finest / n_examples**0.5)
            ratio = normalised(raw, base[metric], source[metric], finest)
            columns[f"{metric}_normalized"] = pa.array(ratio.reshape(-1), from_pandas=True)
    return pa.table(columns)


def _single(places: tuple[int, ...] | None) -> int | None:
    return places[0] if places is not None and len(places) == 1 else None


def layout_of(sites: str | Sequence[str | Patch], model: Model, prompt_length: int, length: int) -> Grid:
    """The patches that are asked for, checked against the model and the prompts."""
    if isinstance(sites, str) and sites not in model.hooked.hook_dict:
        return grid(sites, model, prompt_length)
    entries = [sites] if isinstance(sites, str) else list(sites)
    if not entries:
        raise ValueError(f"no site is named; accepted: hook names, patches, or one of {', '.join(SWEEPS)}")
    for entry in entries:
        if not isinstance(entry, str | Patch):
            raise ValueError(f"site {shortened(entry)} is neither a hook's name nor a Patch")
    patches = tuple(e if isinstance(e, Patch) else Patch((site(e, model),), label=e) for e in entries)
    for patch in patches:
        for where in patch.sites:
            check_site(where, model, length)
    return Grid("patches", ("patch",), (len(patches),), patches, tuple((i,) for i in range(len(patches))))


def listed(ids: Ids, what: str = "token ids") -> list[list[int]]:
    """Prompts as lists of ids."""
    rows = id_rows(ids, what)
    if not rows or not all(rows):
        raise ValueError("there is no prompt, or an empty one; every prompt needs at least one token")
    return rows


def _checked(clean: list[list[int]], corrupt: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
    if len(clean) != len(corrupt):
        raise ValueError(f"there are {len(clean)} clean and {len(corrupt)} corrupt prompts; they go in pairs")
    for i, (a, b) in enumerate(zip(clean, corrupt, strict=True)):
        if len(a) != len(b):
            raise ValueError(
                f"example {i}: the clean prompt has {len(a)} tokens and the corrupt one {len(b)}; patching goes "
                "position by position and needs equally many"
            )
    return clean, corrupt


def answers_of(
    ids: Ids, n: int, metrics: Sequence[str], what: str, sequence: bool, alternatives: bool = False
) -> list[list[int]]:
    """Answers as lists of ids, of one token each unless a metric takes whole answers or they are alternatives."""
    rows = plain_ids(ids, f"{what}s")
    answers = [[row] if isinstance(row, int) else row for row in ([rows] if isinstance(rows, int) else rows)]
    if any(not isinstance(i, int) for answer in answers for i in answer):
        raise ValueError(f"{what}s: a token id or a list of them for each example is needed")
    if len(answers) != n:
        raise ValueError(f"there are {len(answers)} {what}s for {n} examples; each example has one")
    for i, answer in enumerate(answers):
        if not answer:
            raise ValueError(f"example {i}: the {what} is empty")
        if (
            len(answer) > 1
            and not alternatives
            and not (sequence and all(takes_sequence(metric) for metric in metrics))
        ):
            single = next((m for m in metrics if not takes_sequence(m)), metrics[0])
            raise ValueError(
                f"example {i}: the {what} is {len(answer)} tokens, and {single!r} reads one; whole answers are read by "
                "sequence_logprob and exact_match, alternatives of one token with alternatives=True"
            )
    return answers


def check_wrong(metrics: Sequence[str], wrong: Sequence[Any]) -> None:
    """Raises ValueError for an unknown metric, or one that compares with a wrong answer where there is none."""
    for metric in metrics:
        if Metric.parse(metric, WITH_TOKENS).reads_wrong and not wrong:
            raise ValueError(f"metric {metric!r} reads wrong answers; none were given")
    if not metrics:
        raise ValueError(f"no metric is named; accepted: {', '.join(WITH_TOKENS)}")


def check_models(model: Model, other: Model) -> None:
    """Raises ValueError unless values of one model fit into the other and both read the same tokens."""
    refuse_unsupported(model.hooked.cfg)
    if model is other:
        return
    facts = ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "n_key_value_heads", "d_vocab", "gated_mlp",
             "attn_only", "parallel_attn_mlp", "positional_embedding_type", "normalization_type")  # fmt: skip
    for name in facts:
        ours, theirs = getattr(model.hooked.cfg, name), getattr(other.hooked.cfg, name)
        if ours != theirs:
            raise ValueError(f"the two models have different shapes: {name} is {ours} in one and {theirs} in the other")
    a, b = model.tokenizer_fingerprint, other.tokenizer_fingerprint
    if a != b and None not in (a, b):
        raise ValueError(f"the two models have different tokenizers ({a} and {b}); the same ids mean other text")
    if model.dtype != other.dtype or model.device != other.device:
        raise ValueError("the two models differ in precision or device; load both alike")


def prompts_of(
    model: Model,
    ids: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]] | None,
    read_at: Ids | None = None,
) -> Prompts:
    """Prompts as right-padded tensors; answers (all but their last token) are appended and read along.

    Args:
        read_at: of each prompt the position that is read (default: the last); not with answers.

    Raises:
        ValueError: a position to read outside its prompt, or given with answers; an id outside the vocabulary; a
            sequence longer than the model's context; prompts of several lengths for a model that would see the padding.
    """
    rows = [[*prompt, *(answer[:-1])] for prompt, answer in zip(ids, answers or [[]] * len(ids), strict=True)]
    lengths = torch.tensor([len(row) for row in rows])
    if int(lengths.max()) > model.n_ctx:
        raise ValueError(f"a prompt has {int(lengths.max())} positions; the model reads at most {model.n_ctx}")
    outside = next((i for row in rows for i in row if not 0 <= i < model.d_vocab), None)
    if outside is not None:
        raise ValueError(f"token id {outside} is outside the vocabulary 0..{model.d_vocab - 1}")
    if model.hooked.cfg.attention_dir != "causal" and len(lengths.unique()) > 1:
        raise ValueError("a bidirectional model sees padding; its prompts must all have the same length")
    padded = _padded(rows, model)
    device = model.device
    prompt_lengths = torch.tensor([len(prompt) for prompt in ids])
    if answers is None:
        read = prompt_lengths - 1 if read_at is None else _checked_reading(read_at, ids)
        return Prompts(padded, lengths.to(device), read[:, None].to(device))
    if read_at is not None:
        raise ValueError("whole answers stand behind their prompts; read_at is for answers of one token")
    targets = _padded(answers, model)
    steps = torch.arange(targets.shape[1])
    mask = steps < torch.tensor([len(answer) for answer in answers])[:, None]
    read = torch.minimum(prompt_lengths[:, None] - 1 + steps, lengths[:, None] - 1)
    return Prompts(padded, lengths.to(device), read.to(device), targets, mask.to(device))


def _checked_reading(read_at: Ids, ids: Sequence[Sequence[int]]) -> Tensor:
    (positions,) = id_rows(read_at, "read_at")
    if len(positions) != len(ids):
        raise ValueError(f"there are {len(positions)} positions to read for {len(ids)} examples; each example has one")
    for i, (position, prompt) in enumerate(zip(positions, ids, strict=True)):
        if not 0 <= position < len(prompt):
            raise ValueError(f"example {i}: position {position} is read, and the prompt has 0 to {len(prompt) - 1}")
    return torch.tensor(positions, dtype=torch.int64)


def _padded(rows: Sequence[Sequence[int]], model: Model) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.int64, device=model.device)
