"""Attribution methods: how much would the objective fall if this edge carried its ablation value?

One signature for all; a positive score means that patching the edge lowers the objective, and a data set's score is
the mean over its pairs, whatever the batch size. With the loss L = -objective and all masks at alpha (0 = clean,
1 = ablated), on the clean prompt:

- ``eap``: dL/dm at alpha = 0 (edge attribution patching, Syed et al. 2023);
- ``mask-ig``: the sum of dL/dm over alpha = i/k, i = 0..k, both ends included, not divided (AutoCircuit's mask
  gradient with integrated-gradient samples, which the memorization study uses);
- ``clean-corrupted``: the mean of dL/dm at alpha = 0 and 1;
- ``eap-ig-inputs``, ``eap-ig-activations`` (Hanna et al. 2024), ``relp`` (Jafari et al. 2025), ``magnitude``: defined
  where the native engine computes them, :mod:`memcirc.engine`;
- ``exact``: L with this edge ablated alone, minus L of the plain run: the reference for small models;
- ``random``: standard normal numbers, the baseline.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from memcirc.config import at_least, check_fields
from memcirc.engine.input_gradients import GRIDS
from memcirc.engines import ENGINES, engine_module
from memcirc.graph import graph_of
from memcirc.interventions import ABLATIONS, RunSettings
from memcirc.metrics import DIFFERENTIABLE, Answers, check_metric, metric_values, reads_sequence
from memcirc.models import Model
from memcirc.pairs.record import Pairs


@dataclass(frozen=True)
class AttributionSettings:
    """What every method is told.

    ``steps`` is mask-ig's k and EAP-IG's m, ``grid`` the points of ``eap-ig-inputs`` (the authors' current code, or
    their paper); ``batch_size`` is the engine's choice where it is None.

    Raises:
        ValueError: a field of another type, an unknown word, steps below 1, or a method that the engine does not have.
    """

    method: str = "mask-ig"
    steps: int = 5
    grid: str = "0..m-1"
    objective: str = "logit_diff"
    ablation: str = "resample"
    engine: str = "native"
    batch_size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        words = {"method": tuple(METHODS), "grid": GRIDS, "ablation": ABLATIONS, "engine": tuple(ENGINES)}
        for name, accepted in words.items():
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} {getattr(self, name)!r} is not known; accepted: {', '.join(accepted)}")
        check_metric(self.objective, DIFFERENTIABLE)
        at_least(self, 1, "steps")
        if self.method in NATIVE_ALONE and self.engine != "native":
            raise ValueError(f"method {self.method!r} is computed by engine 'native' alone, not by {self.engine!r}")

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
    engine = engine_module(task.settings.engine)
    return engine.mask_gradients(task.model, task.pairs, alphas, task.settings.objective, **_common(task))


def _eap(task: Task) -> Tensor:
    return _mask_gradients(task, [0.0])


def _mask_ig(task: Task) -> Tensor:
    k = task.settings.steps
    return _mask_gradients(task, [i / k for i in range(k + 1)])


def _clean_corrupted(task: Task) -> Tensor:
    return _mask_gradients(task, [0.0, 1.0]) / 2


def _input_gradients(task: Task) -> Tensor:
    settings = task.settings
    if settings.ablation != "resample":
        raise ValueError(f"method 'eap-ig-inputs' is defined for ablation 'resample' alone, not {settings.ablation!r}")
    return engine_module("native").input_gradients(
        task.model,
        task.pairs,
        settings.steps,
        settings.objective,
        settings.grid,
        batch_size=settings.batch_size,
        per_example=task.per_example,
    )


def _activation_gradients(task: Task) -> Tensor:
    settings = task.settings
    return engine_module("native").activation_gradients(
        task.model, task.pairs, settings.steps, settings.objective, **_common(task)
    )


def _relevance(task: Task) -> Tensor:
    return engine_module("native").relevance(task.model, task.pairs, task.settings.objective, **_common(task))


def _magnitude(task: Task) -> Tensor:
    return engine_module("native").difference_norms(task.model, task.pairs, **_common(task))


def _common(task: Task) -> dict[str, Any]:
    return {
        "ablation": task.settings.ablation,
        "reference": task.reference,
        "batch_size": task.settings.batch_size,
        "per_example": task.per_example,
    }


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
    "eap-ig-inputs": _input_gradients,
    "eap-ig-activations": _activation_gradients,
    "relp": _relevance,
    "magnitude": _magnitude,
    "exact": _exact,
    "random": _random,
}
NATIVE_ALONE = ("eap-ig-inputs", "eap-ig-activations", "relp", "magnitude")
RESAMPLE_ALONE = ("eap-ig-inputs",)
