"""A sweep: many patches, each measured on every example.

Denoising writes values of the clean run into the corrupt one and asks how much of the behaviour comes back; noising
writes values of the corrupt run into the clean one and asks how much of it is lost. Each is normalised by its own ends
(:mod:`memcirc.patching.result`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

import torch
from tqdm import tqdm

from memcirc.config import names
from memcirc.ids import Ids
from memcirc.metrics import WITH_TOKENS, Metric
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from memcirc.patching.grids import layout_of
from memcirc.patching.kept import kept
from memcirc.patching.lists import Lists, pairs_of
from memcirc.patching.measuring import Measured, measure
from memcirc.patching.patches import Patch
from memcirc.patching.result import Sweep, finished
from memcirc.patching.sides import Comparison, check_direction, compared


class SweepOptions(TypedDict, total=False):
    """What every sweep may be told; :class:`SweepSettings` has the meanings and defaults."""

    sites: str | Sequence[str | Patch]
    direction: str
    metrics: str | Sequence[str]
    source_model: Model | None
    normalize: bool
    full_passes: bool
    progress: bool
    keep: str | Path | None


class ListOptions(SweepOptions, total=False):
    """What a sweep over lists may be told besides; :class:`memcirc.patching.lists.Lists` has the meanings."""

    read_at: Ids | None
    alternatives: bool


@dataclass(frozen=True, eq=False)
class SweepSettings:
    """What is patched, and what is measured.

    Attributes:
        sites: a sweep's name as in ``transformer_lens.patching`` (:func:`memcirc.patching.grids.grid`), or hook names,
            each written whole, or :class:`memcirc.patching.patches.Patch` records (several sites at once, single
            positions and heads, other operations).
        direction: ``denoise`` (clean values into the corrupt run) or ``noise`` (corrupt values into the clean run).
        metrics: names of :mod:`memcirc.metrics`, or one of them.
        source_model: the values written come from this model (of the same shape); default: the model itself.
        normalize: also give normalised values; False for prompts without a contrast to normalise by.
        full_passes: one full forward pass a patch, as TransformerLens does it (a reference; slow).
        progress: show a bar.
        keep: a folder in which what is measured is kept: the same sweep, asked for again, is read from there.

    Raises:
        ValueError: a direction or metric that is not known, or no metric.
    """

    sites: str | Sequence[str | Patch] = "resid_pre"
    direction: str = "denoise"
    metrics: str | Sequence[str] = ("logit_diff",)
    source_model: Model | None = None
    normalize: bool = True
    full_passes: bool = False
    progress: bool = False
    keep: str | Path | None = None

    def __post_init__(self) -> None:
        check_direction(self.direction)
        if not self.parsed:
            raise ValueError(f"no metric is named; accepted: {', '.join(WITH_TOKENS)}")

    @cached_property
    def parsed(self) -> tuple[Metric, ...]:
        """The metrics."""
        return tuple(Metric.parse(name, WITH_TOKENS) for name in names(self.metrics))


@overload
def patch_sweep(model: Model, pairs: Pairs, /, **options: Unpack[SweepOptions]) -> Sweep: ...
@overload
def patch_sweep(
    model: Model,
    clean_ids: Ids,
    corrupt_ids: Ids,
    answer_ids: Ids,
    wrong_answer_ids: Ids | None = None,
    **options: Unpack[ListOptions],
) -> Sweep: ...
def patch_sweep(
    model: Model,
    clean_ids: Pairs | Ids,
    corrupt_ids: Ids | None = None,
    answer_ids: Ids | None = None,
    wrong_answer_ids: Ids | None = None,
    **options: Any,
) -> Sweep:
    """Write activations of one run into another, place by place, and measure what changes:
    ``patch_sweep(model, pairs, ...)``, or ``patch_sweep(model, clean_ids, corrupt_ids, answer_ids, wrong_answer_ids,
    ...)``.

    Args:
        pairs: contrastive pairs, read where each says; the metrics ``sequence_logprob`` and ``exact_match`` read their
            ``answer_sequence_ids``, teacher-forced behind both prompts.
        clean_ids, corrupt_ids: token ids [batch, pos] (or [pos] of a single prompt) as a tensor, an array or lists; the
            two prompts of an example have the same length, examples may differ in theirs.
        answer_ids, wrong_answer_ids: [batch], one token an example; or, for the metrics of whole answers, a list of
            these (wrong answers are not read).
        options: the fields of :class:`SweepSettings`; with lists also ``read_at``, of each example the position whose
            logits predict the answer, counted from 0 (default: the prompt's last), and ``alternatives``: the lists of
            ``answer_ids`` and ``wrong_answer_ids`` hold alternatives of one token each, which metrics average, as those
            of :class:`memcirc.Pair`.

    Raises:
        ValueError: prompts of unequal length; a sweep, hook, layer, position or head that does not exist, or a position
            to read outside its prompt; models of different shape; a metric whose ends coincide; answers of several
            tokens where one is needed; a failed self-test (:mod:`memcirc.patching.selftests`). One line each.
    """
    if isinstance(clean_ids, Pairs):
        return swept(model, clean_ids, SweepSettings(**options))
    if corrupt_ids is None or answer_ids is None:
        raise ValueError("a sweep takes a Pairs, as load_pairs reads, or clean_ids, corrupt_ids and answer_ids")
    further = {name: options.pop(name) for name in ("read_at", "alternatives") if name in options}
    settings = SweepSettings(**options)
    lists = Lists(clean_ids, corrupt_ids, answer_ids, wrong_answer_ids, **further)
    return swept(model, pairs_of(lists, settings.parsed), settings)


def swept(model: Model, pairs: Pairs, settings: SweepSettings) -> Sweep:
    """The sweep over pairs; raises as :func:`patch_sweep`."""
    comparison, question = compared(model, pairs, settings.parsed, settings.source_model, settings.direction)
    layout = layout_of(settings.sites, model, max(map(len, pairs)), int(question.prompts.lengths.max()))
    total = len(layout.patches) * len(pairs)

    def measured_now() -> Measured:
        with torch.no_grad(), tqdm(total=total, desc=layout.name, unit="patch", disable=not settings.progress) as bar:
            return measure(comparison, layout.patches, question, settings.full_passes, bar.update)

    if settings.keep is None:
        measured = measured_now()
    else:
        names = [metric.name for metric in settings.parsed]
        identity = [*_fingerprints(comparison), pairs.fingerprint, settings.direction, names, settings.full_passes]
        measured = kept(Path(settings.keep), [*identity, repr(layout.patches)], measured_now)
    return finished(layout, settings.parsed, measured, settings.direction, settings.normalize)


def _fingerprints(comparison: Comparison) -> list[str]:
    return [side.model.fingerprint for side in (comparison.base, comparison.source)]
