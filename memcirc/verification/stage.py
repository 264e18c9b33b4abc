"""The verification stage: a run's circuits on held-out pairs, in the combinations that the configuration names.

It is a list of jobs that any process may do in any order (:class:`WorkList`, :func:`worker`); what they give is put
together in the order of the list.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from tqdm import tqdm

from memcirc.attribution.scores import EdgeScores
from memcirc.circuit import Circuit
from memcirc.models import Model
from memcirc.options import build, chosen
from memcirc.pairs.record import Pairs
from memcirc.verification.check import Job
from memcirc.verification.config import VerifyConfig
from memcirc.verification.passages import Passages
from memcirc.verification.result import Verification
from memcirc.verification.settings import Settings
from memcirc.verification.subject import Outline, Subject, SubjectOptions
from memcirc.verification.verify import done, jobs_of, subject_of


@dataclass(frozen=True, eq=False)
class Material:
    """The pairs, scores and passages that a task's circuits are verified with.

    ``pairs`` is what is measured on; ``scores`` what the circuits were chosen by; ``reference`` what mean ablations
    average over, as long as the longest of ``pairs``; ``train`` what attribution saw; ``passages`` gives running text,
    where the run has it.
    """

    pairs: Pairs
    scores: EdgeScores
    reference: Pairs
    train: Pairs | None = None
    passages: Callable[[], Passages] | None = None


@dataclass(frozen=True, eq=False)
class WorkList:
    """The jobs of all circuits, each of which is verified in the mode of its name; known without a model."""

    circuits: Mapping[str, Circuit]
    config: VerifyConfig

    @cached_property
    def jobs(self) -> tuple[tuple[Outline, Job], ...]:
        """Mode by mode, in the order of the checks."""
        outlines = [self._outline(mode, circuit) for mode, circuit in self.circuits.items()]
        return tuple((each, job) for each in outlines for job in jobs_of(each, self.config.chosen_checks))

    def _outline(self, mode: str, circuit: Circuit) -> Outline:
        config = self.config
        told = {"target": circuit.origin.get("target", Settings.target), "thorough": config.checks == "full"}
        return Outline(
            circuit=circuit,
            mode=mode,
            settings=build(Settings, vars(config), told),
            ablations=config.ablations,
            directions=config.directions,
        )

    def whole(self, pieces: Iterable[Verification]) -> Verification:
        """One verification of what the jobs have given, in their order."""
        result = Verification({})
        for piece in pieces:
            result = result.merged(piece)
        per_mode: dict[str, Any] = {
            mode: {"n_edges": len(c), "origin": dict(c.origin)} for mode, c in self.circuits.items()
        }
        statement = {k: v for k, v in result.statement.items() if k not in ("mode", "n_edges", "origin")}
        return replace(result, statement={**statement, "circuits": per_mode})


def worker(work: WorkList, model: Model, material: Material) -> Callable[[int], Verification]:
    """A function that does the job of a number; it keeps what the jobs of one circuit share until it is given one of
    another."""
    given = chosen(SubjectOptions, {**vars(material), "engine": work.config.engine})

    @lru_cache(maxsize=1)
    def subject(outline: Outline) -> Subject:
        return subject_of(outline, model, material.pairs, material.scores, **given)

    def do(number: int) -> Verification:
        outline, job = work.jobs[number]
        return done(job, subject(outline))

    return do


def verify_circuits(work: WorkList, model: Model, material: Material) -> Verification:
    """All jobs, one after the other."""
    return work.whole(map(worker(work, model, material), _bar(work)))


def _bar(work: WorkList) -> Iterator[int]:
    """The numbers of the jobs behind a bar with the remaining time, which names the one at work; none where stderr is
    no terminal."""
    bar = tqdm(work.jobs, desc="verify", unit="job", disable=None, leave=False, file=sys.stderr)
    for number, (outline, job) in enumerate(bar):
        bar.set_postfix_str(f"{outline.mode}, {job.label[:40]}", refresh=True)
        yield number
