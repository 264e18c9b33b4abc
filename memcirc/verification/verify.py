"""Verify a circuit: what it keeps, in every way to run it, and what a sceptic would ask next.

The checks are those of :mod:`memcirc.verification.checks`. What a check cannot do is listed in ``refused`` with the
reason and its numbers; the others are still made.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Unpack

from memcirc.attribution.scores import EdgeScores
from memcirc.circuit import Circuit
from memcirc.config import names, shortened
from memcirc.interventions import VERIFIED
from memcirc.models import Model
from memcirc.options import build, chosen, refuse_keywords
from memcirc.origin import check_origin
from memcirc.pairs.contrast import check_contrast
from memcirc.pairs.record import Pairs
from memcirc.twins import beside
from memcirc.verification.check import Job
from memcirc.verification.checks import CHECKS, DEFAULT_CHECKS, known_checks
from memcirc.verification.passages import Passages
from memcirc.verification.result import Verification
from memcirc.verification.settings import SettingOptions, Settings
from memcirc.verification.subject import Outline, Subject, SubjectOptions

Progress = Callable[[Iterable[Any]], Iterable[Any]]


class VerifyOptions(SettingOptions, SubjectOptions, total=False):
    """What :func:`verify` takes by name: the settings of the checks, what some of them need, and

    ablations: default: ``VERIFIED``; directions: values of ``reverse``, or one of them (both); progress: wraps the
    iteration over checks, as tqdm does.
    """

    ablations: str | Sequence[str]
    directions: bool | Sequence[bool]
    progress: Progress


def verify(
    model: Model,
    pairs: Pairs,
    circuit_or_scores: Circuit | EdgeScores,
    *,
    mode: str,
    circuit: Circuit | None = None,
    checks: str | Sequence[str] = DEFAULT_CHECKS,
    **options: Unpack[VerifyOptions],
) -> Verification:
    """Run the checks on the given pairs (the test split).

    Args:
        circuit_or_scores: a circuit, or the scores whose prefixes make the curve.
        circuit: the circuit to measure where scores are given.
        checks: of ``CHECKS``, or one of them.
        options: of :class:`VerifyOptions`.

    Raises:
        TypeError: an option that there is not.
        ValueError: an unknown check, neither a circuit nor a size for one, pairs or a circuit of another model,
            tokenizer or graph, pairs that do not contrast under one of the ablations, ablation ``twin`` of a model
            without one, passages of scores without its twin. What a single check cannot do is
            listed in ``refused``; the rest is still measured.
    """
    refuse_keywords("verify", options, VerifyOptions.__annotations__)
    checks = known_checks(names(checks))
    scores = circuit_or_scores if isinstance(circuit_or_scores, EdgeScores) else None
    found = circuit_or_scores if isinstance(circuit_or_scores, Circuit) else circuit
    if found is None:
        raise ValueError("scores alone name no circuit; give circuit= as well (scores.top(n), or find_minimal's)")
    if not isinstance(found, Circuit):
        raise ValueError(f"circuit {shortened(found)} is no Circuit; Circuit.from_edges makes one of names of edges")
    outline = Outline(
        circuit=found,
        mode=mode,
        settings=build(Settings, options),
        ablations=names(options.get("ablations", VERIFIED)),
        directions=_reversals(options.get("directions", (False, True))),
    )
    subject = subject_of(outline, model, pairs, scores, **chosen(SubjectOptions, options))
    result = Verification(subject.statement)
    for job in options.get("progress", iter)(jobs_of(outline, checks)):
        result = result.merged(done(job, subject))
    return result


def jobs_of(outline: Outline, checks: Sequence[str]) -> list[Job]:
    """The jobs of some checks, in their order."""
    return [job for check in checks for job in CHECKS[check].work.jobs(outline)]


def done(job: Job, subject: Subject) -> Verification:
    """What one job gives: its records, or the reason why it gives none; and the subject's statement."""
    try:
        return Verification(subject.statement, tuple(job.run(subject)))
    except ValueError as error:
        return Verification(subject.statement, (), (f"{subject.mode}, {job.label}: {error}",))


def subject_of(
    outline: Outline, model: Model, pairs: Pairs, scores: EdgeScores | None, **given: Unpack[SubjectOptions]
) -> Subject:
    """What is asked, on what it is measured.

    Raises:
        ValueError: as :func:`verify` does for what no check can be made of.
    """
    for ablation in outline.ablations:
        beside(model, None, ablation)
        check_contrast(pairs, ablation, model.causal)
    check_origin(model, pairs.header, "pairs")
    check_origin(model, outline.circuit.origin, "a circuit")
    subject = Subject(**vars(outline), model=model, pairs=pairs, scores=scores, **given)
    _ = subject.mask  # an edge that the graph does not have is said now, not by every check
    if isinstance(subject.passages, Passages):
        subject.needed("passages")
    return subject


def _reversals(directions: bool | Sequence[bool]) -> tuple[bool, ...]:
    found = (directions,) if isinstance(directions, bool | str) else tuple(directions)
    for reverse in found:
        if not isinstance(reverse, bool):
            raise ValueError(f"direction {reverse!r} is not known; accepted: False and True, values of reverse")
    return found
