"""The two models of the study, and what is asked of them: recitation, and the effect of patches between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from memcirc.metrics import TOKEN, Metric
from memcirc.models import Model
from memcirc.patching.measures import Question
from memcirc.patching.patches import Patch
from memcirc.patching.result import Sweep
from memcirc.patching.runs import run
from memcirc.patching.sides import Comparison, compared
from memcirc.patching.sites import Site, aliases, component_sites, distinct
from memcirc.patching.sweep import patch_sweep
from memcirc.studies.pii.samples import Sample, pairs_of

LOGPROB, EXACT = "sequence_logprob", "exact_match"


@dataclass(frozen=True, eq=False)
class TwoModels:
    """The two models with the passages on which they are compared; ``known``: by kind, text that both have seen, where
    there is such; ``keep``: the folder in which sweeps are kept, if they are."""

    target: Model
    control: Model
    samples: Sequence[Sample]
    progress: bool
    known: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    keep: Path | None = None

    @property
    def by_name(self) -> dict[str, Model]:
        """Both models, by the names that results and pages give them."""
        return {"target": self.target, "control": self.control}

    @cached_property
    def sites(self) -> list[Site]:
        """The components of the whole model."""
        return component_sites(self.control)

    @cached_property
    def leaders(self) -> dict[Site, Site]:
        """Of each site the one that is computed in its place."""
        return aliases(self.sites, self.control, same_model=False)

    @cached_property
    def distinct_sites(self) -> list[Site]:
        """The sites that stand for themselves between two models."""
        return distinct(self.sites, self.leaders)

    def recites(self, model: Model, samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
        """bool and float [sample]: whether a model recites each answer, and its log-probability, teacher-forced."""
        comparison, question = compared(model, pairs_of(samples), parsed(EXACT, LOGPROB))
        weights, examples = comparison.base.weights, torch.arange(len(samples), device=model.device)
        exact, logprob = question.of_final(weights, run(weights, question.prompts).final, examples).cpu().numpy()
        return exact > 0, logprob

    def answered(self, samples: Sequence[Sample], base: Model | None = None) -> tuple[Comparison, Question]:
        """The target beside the control (or ``base``) on the same teacher-forced samples, and the log-probability of
        the answers."""
        return compared(base or self.control, pairs_of(samples), parsed(LOGPROB), self.target)

    def sweep(
        self, patches: Sequence[Patch], samples: Sequence[Sample], base: Model | None = None, tokens: bool = False
    ) -> Sweep:
        """Target values into the control or ``base`` (into the target itself: the control's); ``tokens``: also the
        log-probability of each token of the answers."""
        into = base or self.control
        steps = range(max(len(s.answer_ids) for s in samples)) if tokens else ()
        return patch_sweep(
            into, pairs_of(samples), sites=patches, normalize=False, progress=self.progress, keep=self.keep,
            source_model=self.control if into is self.target else self.target,
            metrics=(LOGPROB, EXACT, *(f"{TOKEN}{k}" for k in steps)),
        )  # fmt: skip

    def gain(self, patches: Sequence[Patch], samples: Sequence[Sample]) -> np.ndarray:
        """Mean change of the answer's log-probability, target into control."""
        return self.sweep(patches, samples).changes(LOGPROB).mean(1)


def parsed(*names: str) -> list[Metric]:
    """The metrics of some names."""
    return [Metric.parse(name) for name in names]
