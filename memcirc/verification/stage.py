"""The verification stage: a run's circuits on held-out pairs, in the combinations that the configuration names."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tqdm import tqdm

from memcirc.attribution.scores import EdgeScores
from memcirc.circuit import Circuit
from memcirc.models import Model
from memcirc.options import chosen
from memcirc.pairs.record import Pairs
from memcirc.verification.check import Job
from memcirc.verification.config import VerifyConfig
from memcirc.verification.passages import Passages
from memcirc.verification.result import Verification
from memcirc.verification.settings import SettingOptions, Settings
from memcirc.verification.subject import SubjectOptions
from memcirc.verification.verify import verify


@dataclass(frozen=True, eq=False)
class Material:
    """The pairs and passages that a task's circuits are verified with.

    ``pairs`` is what is measured on; ``reference`` what mean ablations average over, as long as the longest of
    ``pairs``; ``train`` what attribution saw; ``passages`` gives running text, where the run has it.
    """

    pairs: Pairs
    reference: Pairs
    train: Pairs | None = None
    passages: Callable[[], Passages] | None = None


def verify_circuits(
    model: Model, material: Material, scores: EdgeScores, circuits: Mapping[str, Circuit], config: VerifyConfig
) -> Verification:
    """Verify each mode's circuit in that mode."""
    result = Verification({})
    for mode, circuit in circuits.items():
        target, thorough = circuit.origin.get("target", Settings.target), config.checks == "full"
        one = verify(
            model,
            material.pairs,
            scores,
            mode=mode,
            circuit=circuit,
            checks=config.chosen_checks,
            ablations=config.ablations,
            directions=config.directions,
            progress=partial(_bar, mode),
            **chosen(SubjectOptions, {**vars(material), "engine": config.engine}),
            **chosen(SettingOptions, {**vars(config), "target": target, "thorough": thorough}),
        )
        result = result.merged(one)
    per_mode: dict[str, Any] = {mode: {"n_edges": len(c), "origin": dict(c.origin)} for mode, c in circuits.items()}
    statement = {k: v for k, v in result.statement.items() if k not in ("mode", "n_edges", "origin")}
    return replace(result, statement={**statement, "circuits": per_mode})


def _bar(mode: str, jobs: Iterable[Job]) -> Iterator[Job]:
    """A bar with the remaining time, which names the check at work; none where stderr is no terminal."""
    bar = tqdm(jobs, desc=f"verify, {mode}", unit="check", disable=None, leave=False, file=sys.stderr)
    for job in bar:
        bar.set_postfix_str(job.label[:40], refresh=True)
        yield job
