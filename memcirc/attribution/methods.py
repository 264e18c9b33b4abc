"""Attribution methods: how much would the objective fall if this edge carried its ablation value?

One signature for all; a positive score means that patching the edge lowers the objective, and a data set's score is
the mean over its pairs, whatever the batch size. With the loss L = -objective and all masks at alpha (0 = clean,
1 = ablated), on the clean prompt:

- ``eap``: dL/dm at alpha = 0 (edge attribution patching, Syed et al. 2023);
- ``mask-ig``: the sum of dL/dm over alpha = i/k, i = 0..k, both ends included, not divided (AutoCircuit's mask
  gradient with integrated-gradient samples, which the memorization study uses);
- ``clean-corrupted``: the mean of dL/dm at alpha = 0 and 1;
- ``exact``: L with this edge ablated alone, minus L of the plain run: the reference for small models;
- ``random``: standard normal numbers, the baseline.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from memcirc.engines import ENGINES, engine_module
from memcirc.graph import graph_of
from memcirc.interventions import ABLATIONS, RunSettings
from memcirc.metrics import DIFFERENTIABLE, Answers, check_metric, metric_values, reads_sequence
from memcirc.models import Model
from memcirc.pairs.record import Pairs


@dataclass(frozen=True)
class AttributionSettings:
    """What every method is told; ``batch_size`` is the engine's choice where it is None.

    Raises:
        ValueError: an unknown word, or steps below 1.
    """

    method: str = "mask-ig"
    steps: int = 5
    objective: str = "logit_diff"
    ablation: str = "resample"
    engine: str = "native"
    batch_size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, accepted in (("method", tuple(METHODS)), ("ablation", ABLATIONS), ("engine", tuple(ENGINES))):
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} {getattr(self, name)!r} is not known; accepted: {', '.join(accepted)}")
        check_metric(self.objective, DIFFERENTIABLE)
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; at least 1 is needed")

    def statement(self) -> dict[str, object]:
        """What a result carries."""
        return {key: value for key, value in asdict(self).items() if key != "batch_size"}


@dataclass(frozen=True)
class Task:
    """One attribution: which model, on which pairs, with means from which, per pair or not."""

    model: Model
    pairs: Pairs
    settings: AttributionSettings
    reference: Pairs | None
    per_example: bool


Method = Callable[[Task], Tensor]


def _mask_gradients(task: Task, alphas: list[float]) -> Tensor:
    scores: Tensor = engine_module(task.settings.engine).mask_gradients(
        task.model,
        task.pairs,
        alphas,
        task.settings.objective,
        task.settings.ablation,
        task.reference,
        task.settings.batch_size,
        task.per_example,
    )
    return scores


def _eap(task: Task) -> Tensor:
    return _mask_gradients(task, [0.0])


def _mask_ig(task: Task) -> Tensor:
    k = task.settings.steps
    return _mask_gradients(task, [i / k for i in range(k + 1)])


def _clean_corrupted(task: Task) -> Tensor:
    return _mask_gradients(task, [0.0, 1.0]) / 2


def _random(task: Task) -> Tensor:
    generator = torch.Generator().manual_seed(task.settings.seed)
    shape = (len(task.pairs),) * task.per_example + (graph_of(task.model).n_edges,)
    return torch.randn(shape, generator=generator)


EXACT_CHUNK = 64


def _exact(task: Task) -> Tensor:
    """Every edge is ablated alone, in tree mode on the clean prompt, ``EXACT_CHUNK`` circuits at a time."""
    settings, graph = task.settings, graph_of(task.model)
    sequence = reads_sequence(settings.objective)
    if sequence:
        raise ValueError("method 'exact' with a metric of whole answers is not defined here; use another objective")
    prepared = engine_module(settings.engine).prepare(
        task.model,
        task.pairs,
        RunSettings("tree", settings.ablation),
        task.reference,
        settings.batch_size,
    )
    answers = Answers.of(task.pairs, task.model.d_vocab, task.model.device)
    whole = torch.ones(1, graph.n_edges, dtype=torch.bool)
    plain = prepared.logits(whole)[0]
    before = metric_values(settings.objective, plain, answers, plain)
    effects = []
    for start in range(0, graph.n_edges, EXACT_CHUNK):
        edges = torch.arange(start, min(start + EXACT_CHUNK, graph.n_edges))
        kept = whole.repeat(len(edges), 1)
        kept[torch.arange(len(edges)), edges] = False
        after = metric_values(settings.objective, prepared.logits(kept), answers, plain)
        effects.append(before - after)
    per_pair = torch.cat(effects).T
    return per_pair if task.per_example else per_pair.mean(0)


METHODS: dict[str, Method] = {
    "eap": _eap,
    "mask-ig": _mask_ig,
    "clean-corrupted": _clean_corrupted,
    "exact": _exact,
    "random": _random,
}
