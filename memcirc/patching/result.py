"""What a sweep measured: every patch on every example, raw and normalised by the ends of its direction,

    (mean over examples patched - mean base) / (mean source - mean base),

so that 0 is the run that is written into and 1 the run whose values are written. All three means are over the examples
that have the place: one too short for a patch's positions is left out of it, not counted as no effect. The ratio for a
single example is a diagnostic, left empty where its two ends coincide (:mod:`memcirc.statistics`).
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from memcirc.metrics import Metric
from memcirc.patching.grids import Grid
from memcirc.patching.measuring import Measured
from memcirc.patching.patches import Patch
from memcirc.showing import Shown
from memcirc.statistics import LEVEL, coincide, drawn_counts, grouped, normalised


@dataclass(frozen=True, eq=False)
class Sweep(Shown):
    """What was measured of every patch on every example.

    ``table``: a row a patch and example with ``patch`` (number), ``label``, ``hook``, ``kind``, ``layer``, ``pos``,
    ``head``, ``source_pos`` (empty where a patch covers all, or several sites), ``example``, and for each metric its
    raw value, ``<metric>_normalized`` and ``<metric>_n``, over how many examples the patch's effect is a mean. An
    example without a position that the patch names has no value (NaN in ``values``, empty in the table). ``ends`` are
    each metric's means over all examples (base run, source run), ``resolution`` the smallest difference of one example
    that means anything; ``notes`` say what took full passes, and why; ``self_patch`` is the largest change by writing
    what was there (relative); ``normalized`` says whether effects are normalised where nothing else is asked for.
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
    normalized: bool = True

    def __repr__(self) -> str:
        measured = ", ".join(self.values)
        n = len(next(iter(self.base.values())))
        return f"Sweep({len(self.patches)} patches of {n} examples, {self.direction}: {measured})"

    @property
    def ends(self) -> dict[str, tuple[float, float]]:
        """By metric the means over all examples of the base run and of the source run."""
        return {m: (float(np.nanmean(self.base[m])), float(np.nanmean(self.source[m]))) for m in self.values}

    def contrasts(self, metric: str = "logit_diff") -> bool:
        """Whether both runs differ in the metric's mean by more than rounding, so that effects can be normalised."""
        return not coincide(*self.ends[metric], self._finest(metric)).item()

    def matrix(self, metric: str = "logit_diff", normalized: bool | None = None) -> np.ndarray:
        """float64 array in the shape of ``transformer_lens.patching``; cells that do not exist are NaN.

        Args:
            normalized: by the ends, or raw; default: as the sweep was asked for (``normalize``).

        Raises:
            ValueError: the metric was not measured; normalised, and its ends coincide.
        """
        return self.arranged(self.effects(metric, normalized))

    def effects(self, metric: str = "logit_diff", normalized: bool | None = None) -> np.ndarray:
        """float64 [patch]: the mean over the examples that have the place, normalised or raw (``normalized`` and what
        is raised: :meth:`matrix`); NaN where none has it, or where the ends of those that do coincide."""
        known = self._known(metric)
        means = _mean(self.values[metric], known)
        if not self._by_ends(normalized):
            return means
        check_ends(metric, *self.ends[metric], self._finest(metric))
        base, source = self.own_ends(metric)
        return normalised(means, base, source, self._finest(metric))

    def changes(self, metric: str = "logit_diff") -> np.ndarray:
        """float64 [patch, example]: by how much a patch moves the metric, raw."""
        return np.asarray(self.values[metric] - self.base[metric])

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
        normalized: bool | None = None,
        groups: Iterable[Hashable] | None = None,
        draws: int = 1000,
        seed: int = 0,
    ) -> np.ndarray:
        """float64 [2, patch]: percentile bootstrap of :meth:`effects` at 95 %, each draw with ends of its own; a draw
        without an example that has the place counts for nothing there.

        Args:
            groups: a key an example, such as its document; examples of one key are drawn together. Default: each alone.
        """
        known, normalized = self._known(metric), self._by_ends(normalized)
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
        ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        found = np.quantile(drawn_effects, ends, axis=0)
        missing = np.isnan(drawn_effects)
        some = missing.any(0) & ~missing.all(0)
        if some.any():
            found[:, some] = np.nanquantile(drawn_effects[:, some], ends, axis=0)
        return found

    def ranked(self, metric: str = "logit_diff", by: str = "signed", top: int | None = None) -> list[tuple[str, float]]:
        """Patches with their :meth:`effects`: ``signed`` by size of either sign, ``positive`` and ``negative`` those
        of one sign, strongest first. Noise has no sign here: an effect of exactly 0 is in none of them, nor is one that
        does not exist."""
        keys = {"signed": lambda e: -abs(e), "positive": lambda e: -e, "negative": lambda e: e}
        if by not in keys:
            raise ValueError(f"ranking {by!r} is not known; accepted: {', '.join(keys)}")
        rows = [(patch.label, float(e)) for patch, e in zip(self.patches, self.effects(metric), strict=True) if e == e]
        rows = [row for row in rows if {"positive": row[1] > 0, "negative": row[1] < 0}.get(by, row[1] != 0)]
        return sorted(rows, key=lambda row: keys[by](row[1]))[:top]

    def arranged(self, of_patches: np.ndarray) -> np.ndarray:
        """One number for each patch, [patch], in the shape of :meth:`matrix`; NaN where there is no patch."""
        array = np.full(self.shape, np.nan)
        array[tuple(np.array(self.cells).T)] = of_patches
        return array

    def _by_ends(self, normalized: bool | None) -> bool:
        return self.normalized if normalized is None else normalized

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


def finished(layout: Grid, metrics: Sequence[Metric], measured: Measured, direction: str, normalize: bool) -> Sweep:
    """The record of what was measured; ValueError where it is to be normalised and the ends of a metric coincide."""
    values, base, source = (
        {metric.name: of for metric, of in zip(metrics, tensor.cpu().numpy(), strict=True)}
        for tensor in (measured.values, measured.base, measured.source)
    )
    resolution = {metric.name: of for metric, of in zip(metrics, measured.resolution.tolist(), strict=True)}
    notes = tuple(f"full passes through TransformerLens: {reason}" for reason in measured.reasons)
    table = _table(layout, values, base, source, resolution if normalize else None)
    return Sweep(
        table=table, values=values, base=base, source=source, resolution=resolution, axes=layout.axes,
        shape=layout.shape, cells=layout.cells, patches=layout.patches, direction=direction, notes=notes,
        self_patch=measured.self_patch, normalized=normalize,
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
