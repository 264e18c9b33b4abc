"""The tasks of a run: what their pairs contrast, and how their circuits are found and measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from memcirc.circuits.config import DiscoverConfig
from memcirc.pairs.config import COMPLETION, PairsConfig
from memcirc.verification.config import VerifyConfig


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        contrast: its ``contrastive_mode`` of pairs.
        ablation: what its circuits are found and measured under, whatever is configured; None: as configured.
        metrics: what its circuits keep, by the kind of its pairs' answers; empty: as configured.
    """

    contrast: str
    ablation: str | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_twin(self) -> bool:
        """Whether it is about a model and its twin."""
        return self.ablation == "twin"

    def pairs(self, config: PairsConfig) -> PairsConfig:
        """How its pairs are made."""
        return replace(config, contrastive_mode=self.contrast)

    def discovery(self, config: DiscoverConfig, pairs: PairsConfig) -> DiscoverConfig:
        """How its circuits are found."""
        told = self._told(pairs)
        return replace(config, **told, **({"objective": told["metric"]} if "metric" in told else {}))

    def verification(self, config: VerifyConfig, pairs: PairsConfig) -> VerifyConfig:
        """How they are measured."""
        return replace(config, **self._told(pairs))

    def _told(self, pairs: PairsConfig) -> dict[str, Any]:
        """What is not as configured."""
        told = {"ablation": self.ablation, "metric": self.metrics.get(pairs.answer)}
        return {name: value for name, value in told.items() if value is not None}


LEARNED = "learned"
TASKS = {
    LEARNED: Task(LEARNED, "twin", {COMPLETION: "sequence_logprob", "tokens": "answer_logprob"}),
    "branch": Task("divergence"),
    "memorization": Task("dataset"),
}
GIVEN = Task("divergence")


def task_named(name: str) -> Task:
    """The task of a name, ``TASK`` or ``TASK@SUBSET``; for pairs that were given, one that changes nothing."""
    return TASKS.get(name.partition("@")[0], GIVEN)
