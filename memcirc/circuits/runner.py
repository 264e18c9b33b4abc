"""Run circuits, and the project's one definition of faithfulness.

    f(C) = (m(C) - m(nothing)) / (m(everything) - m(nothing))

with m the mean of a metric over pairs, and both ends measured under the same mode, ablation, direction and data as C: 0
at no edge, 1 at all edges, for noising and denoising alike. It is the ratio of means; the mean of ratios is a
diagnostic (:meth:`CircuitRunner.per_pair`).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TypedDict, Unpack

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memcirc.circuit import Circuit, edge_mask
from memcirc.engine.frame import largest_batch
from memcirc.engine.memory import Memory
from memcirc.engine.protocol import PreparedCircuits
from memcirc.engines import engine_module
from memcirc.graph import Graph, graph_of
from memcirc.interventions import RunSettings, Way
from memcirc.metrics import COLUMNS, SEQUENCE, Answers, Labels, Metric
from memcirc.models import Model
from memcirc.options import build, refuse_keywords
from memcirc.pairs.batches import batches, collate
from memcirc.pairs.contrast import check_contrast
from memcirc.pairs.record import Pairs
from memcirc.statistics import Ends
from memcirc.twins import beside, exchanged
from memcirc.work.fitting import Fitting

AnyCircuit = Circuit | Collection[str]

CHUNK, MOST_CIRCUITS, NUMBERS = 32, 256, 1 << 26
"""Pairs at a time that are run whole; circuits at a time at most, and how many numbers they may take."""


class RunnerOptions(TypedDict, total=False):
    """What a runner takes by name: the fields of :class:`memcirc.interventions.RunSettings` besides the mode, and

    reference: pairs that mean ablations average over (others pass them over); default: the pairs that are run;
    twin: of ablation ``twin``: the same model without the memory; default: the model's own;
    engine, batch_size: who computes, and pairs at a time; memory: one budget for this runner and others (512 MiB by
    default).
    """

    ablation: str
    reverse: bool
    dangling: str
    reference: Pairs | None
    twin: Model | None
    engine: str
    batch_size: int | None
    memory: Memory | None


class CircuitRunner:
    """Holds what circuits share (ablation values, both ends, prefixes); make one with :func:`circuit_runner`."""

    def __init__(
        self,
        model: Model,
        pairs: Pairs,
        settings: RunSettings,
        prepare: Callable[[bool, int | None], PreparedCircuits],
        batch_size: int | None,
        largest: Callable[[bool, int | None], int],
    ) -> None:
        """``prepare`` gives what circuits share, with whole answers or without, so many pairs at a time; ``largest``
        the pairs in its largest batch."""
        if not len(pairs):
            raise ValueError("the pair set is empty; a circuit is run on at least one pair")
        check_contrast(pairs, settings.ablation, model.causal)
        self.model, self.pairs, self.settings = model, pairs, settings
        self.graph: Graph = graph_of(model)
        self.answers = Answers.of(pairs, model.d_vocab, model.device)
        self._prepare = prepare
        self._prepared: dict[tuple[bool, int | None], PreparedCircuits] = {}
        self._fitting, self._largest = {sequence: Fitting(batch_size) for sequence in (False, True)}, largest
        self._end_values: dict[str, tuple[Tensor, float]] = {}

    def way(self, metric: str = "logit_diff") -> Way:
        """How a number of this runner is measured."""
        return Way(**vars(self.settings), metric=metric)

    def masks(self, circuits: Sequence[AnyCircuit]) -> Bool[Tensor, "circuits n_edges"]:
        """The masks of circuits, checked against the graph."""
        if isinstance(circuits, Circuit) or (circuits and isinstance(circuits[0], str)):
            raise ValueError("a sequence of circuits is needed; put a single circuit into a list")
        masks = [edge_mask(self.graph, circuit) for circuit in circuits]
        return torch.stack(masks) if masks else torch.zeros(0, self.graph.n_edges, dtype=torch.bool)

    def logits(self, circuits: Sequence[AnyCircuit] | Tensor, answers_only: bool = False) -> Tensor:
        """float [circuits, pairs, d_vocab] at each pair's answer position.

        Args:
            circuits: circuits, collections of edge names, or their masks, bool [circuits, n_edges].
            answers_only: the answers' columns alone, [circuits, pairs, alternative], in the order of
                :class:`memcirc.metrics.Answers`.

        Raises:
            ValueError: an edge that the graph does not have.
        """
        return self._run(circuits, False, answers_only)

    def _run(self, circuits: Sequence[AnyCircuit] | Tensor, sequence: bool, answers_only: bool = False) -> Tensor:
        masks = circuits if isinstance(circuits, Tensor) else self.masks(circuits)

        def run(size: int | None) -> Tensor:
            key = sequence, size
            if key not in self._prepared:
                self._prepared = {other: kept for other, kept in self._prepared.items() if other[0] != sequence}
                self._prepared[key] = self._prepare(sequence, size)
            logits: Tensor = self._prepared[key].logits(masks, answers_only)
            return logits

        return self._fitting[sequence](run, partial(self._largest, sequence))

    def per_pair(
        self, circuits: Sequence[AnyCircuit] | Tensor, metric: str = "logit_diff"
    ) -> Float[Tensor, "circuits pairs"]:
        """The metric of every circuit on every pair."""
        asked = Metric.parse(metric)
        masks = circuits if isinstance(circuits, Tensor) else self.masks(circuits)
        chunks = masks.split(self._at_once(asked))
        parts = [asked(self._read(asked, chunk), self._labels(asked)) for chunk in chunks]
        return torch.cat(parts) if len(masks) else torch.zeros(0, len(self.pairs))

    def failures(self, circuit: AnyCircuit) -> Pairs:
        """The pairs that a circuit gets wrong, in order: the likeliest token is none of the answers. (Of a whole answer
        its first token is read.)"""
        right = self.per_pair([circuit], "correct")[0].tolist()
        return replace(self.pairs, items=tuple(pair for pair, at in zip(self.pairs, right, strict=True) if not at))

    def _at_once(self, metric: Metric) -> int:
        """How many circuits' masks and logits take at most ``NUMBERS``."""
        columns = self.answers.columns.shape[1] if metric.reads == COLUMNS else self.model.d_vocab
        steps = max(len(pair.answer_sequence_ids) for pair in self.pairs) if metric.reads == SEQUENCE else 1
        return max(1, min(MOST_CIRCUITS, NUMBERS // max(self.graph.n_edges, len(self.pairs) * columns * steps)))

    def _read(self, metric: Metric, circuits: Tensor) -> Tensor:
        """The logits that a metric reads."""
        return self._run(circuits, metric.reads == SEQUENCE, answers_only=metric.reads == COLUMNS)

    def _labels(self, metric: Metric) -> Labels:
        """What the pairs' logits are held against, as far as a metric needs it."""
        if metric.reads == SEQUENCE:
            batch = collate(self.pairs.items, 0, self.model.device, sequence=True)
            return Labels(None, batch.targets, batch.target_mask)
        return Labels(self.answers, reference=self._clean_logits if metric.compares else None)

    @cached_property
    def _clean_logits(self) -> Tensor:
        """float [pairs, d_vocab] of the model alone on the clean prompts: what ``kl`` compares with."""
        parts = []
        with torch.no_grad():
            for batch in batches(self.pairs, CHUNK, self.model.device):
                logits = self.model.logits(batch.clean)
                parts.append(logits[torch.arange(len(batch)), batch.read[:, 0]])
        return torch.cat(parts)

    def ends(self, metric: str = "logit_diff") -> Ends:
        """Both ends of the metric, as means over the pairs, and how finely they can be told apart."""
        nothing, everything = self.end_values(metric).double().mean(1).tolist()
        return Ends(nothing, everything, self.resolution(metric, len(self.pairs)))

    def resolution(self, metric: str, n_pairs: int = 1) -> float:
        """The smallest difference of the metric's mean over so many pairs that rounding of the logits cannot make."""
        self.end_values(metric)
        return self._end_values[metric][1] / n_pairs**0.5

    def end_values(self, metric: str = "logit_diff") -> Float[Tensor, "2 pairs"]:
        """Each pair's metric with no edge and with all; measured once."""
        asked = Metric.parse(metric)
        if metric not in self._end_values:
            masks = torch.stack([torch.zeros(self.graph.n_edges), torch.ones(self.graph.n_edges)]).bool()
            logits = self._read(asked, masks)
            values = asked(logits, self._labels(asked))
            self._end_values[metric] = values, asked.resolution(logits, values, self.model.dtype)
        return self._end_values[metric][0]

    def faithfulness(
        self, circuits: Sequence[AnyCircuit] | Tensor, metric: str = "logit_diff"
    ) -> Float[Tensor, " circuits"]:
        """The definition above, in float64.

        Raises:
            ValueError: an edge that the graph does not have, or ends that coincide.
        """
        values = self.per_pair(circuits, metric).double().mean(1).cpu()
        return torch.from_numpy(self.ends(metric).faithfulness(values))


def circuit_runner(model: Model, pairs: Pairs, *, mode: str, **options: Unpack[RunnerOptions]) -> CircuitRunner:
    """A runner of circuits on pairs; see :class:`memcirc.interventions.RunSettings` for the words.

    Args:
        mode: ``tree`` (ablate the rest) or ``edge`` (patch the circuit's edges alone); always said.
        options: of :class:`RunnerOptions`: ``ablation`` ("resample"), ``reverse`` (False), ``dangling`` ("keep"),
            ``reference``, ``twin``, ``engine`` ("native"), ``batch_size``, ``memory``.

    Raises:
        TypeError: an option that there is not.
        ValueError: an unknown word, no pairs, pairs that do not contrast under the ablation, an answer outside the
            vocabulary, an unsupported combination, no twin of the model where one is needed.
    """
    refuse_keywords("circuit_runner", options, RunnerOptions.__annotations__)
    settings = build(RunSettings, {"mode": mode}, options)
    model = beside(model, options.get("twin"), settings.ablation)
    running = exchanged(model) if settings.ablated.other_model and settings.base == "corrupt" else model
    means_over = options.get("reference") if settings.ablated.means_of else None
    engine, batch_size = options.get("engine", "native"), options.get("batch_size")
    shared = options.get("memory") or Memory(model.device)

    def prepare(sequence: bool, size: int | None) -> PreparedCircuits:
        if size != batch_size:  # memory has run out
            shared.release()
        return engine_module(engine).prepare(running, pairs, settings, means_over, size, sequence, shared)

    def largest(sequence: bool, size: int | None) -> int:
        if engine != "native":
            return size or 1  # what it chooses by itself is not halved
        return largest_batch(running.weights, pairs, settings.ablated.keeps_prefix, sequence, size)

    return CircuitRunner(model, pairs, settings, prepare, batch_size, largest)


def run_circuit(
    model: Model, pairs: Pairs, circuit: AnyCircuit, *, mode: str, **options: Unpack[RunnerOptions]
) -> Tensor:
    """Run one circuit: float [pairs, d_vocab] at each pair's answer position. Options as for :func:`circuit_runner`."""
    refuse_keywords("run_circuit", options, RunnerOptions.__annotations__)
    return circuit_runner(model, pairs, mode=mode, **options).logits([circuit])[0]
