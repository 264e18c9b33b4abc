"""Verify a circuit: what it keeps, in every way to run it, and what a sceptic would ask next.

The checks are those of :mod:`memcirc.verification.checks`. What a check cannot do is listed in ``refused`` with the
reason and its numbers; the others are still made.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

from memcirc.attribution.scores import EdgeScores
from memcirc.circuit import Circuit
from memcirc.config import names, shortened
from memcirc.interventions import VERIFIED
from memcirc.models import Model
from memcirc.options import refuse_keywords
from memcirc.pairs.contrast import check_contrast
from memcirc.pairs.record import Pairs
from memcirc.verification.checks import CHECKS, DEFAULT_CHECKS, known_checks
from memcirc.verification.origin import check_origin
from memcirc.verification.passages import Passages
from memcirc.verification.result import Verification
from memcirc.verification.subject import Settings, Subject

Progress = Callable[[Iterable[Any]], Iterable[Any]]


def verify(
    model: Model,
    pairs: Pairs,
    circuit_or_scores: Circuit | EdgeScores,
    *,
    mode: str,
    circuit: Circuit | None = None,
    checks: str | Sequence[str] = DEFAULT_CHECKS,
    ablations: str | Sequence[str] = VERIFIED,
    directions: bool | Sequence[bool] = (False, True),
    reference: Pairs | None = None,
    train: Pairs | None = None,
    passages: Passages | Callable[[], Passages] | None = None,
    engine: str = "native",
    progress: Progress = iter,
    **options: Any,
) -> Verification:
    """Run the checks on the given pairs (the test split).

    Args:
        circuit_or_scores: a circuit, or the scores whose prefixes make the curve.
        circuit: the circuit to measure where scores are given.
        checks: of ``CHECKS``, or one of them.
        directions: values of ``reverse``, or one of them.
        reference: pairs that mean ablations average over; default: ``pairs``.
        train: pairs that attribution saw; what ``stability``, ``methods`` and ``time`` need.
        passages: what ``specificity``, ``generation`` and ``time`` need
            (:func:`memcirc.verification.passages.passages_of`), or a function that gives it.
        progress: wraps the iteration over checks, as tqdm does.
        options: fields of :class:`memcirc.verification.subject.Settings`.

    Raises:
        ValueError: an unknown check, neither a circuit nor a size for one, pairs or a circuit of another model,
            tokenizer or graph, pairs that do not contrast under one of the ablations. What a single check cannot do is
            listed in ``refused``; the rest is still measured.
    """
    checks, ablations, directions = known_checks(names(checks)), names(ablations), _reversals(directions)
    scores = circuit_or_scores if isinstance(circuit_or_scores, EdgeScores) else None
    chosen = circuit_or_scores if isinstance(circuit_or_scores, Circuit) else circuit
    if chosen is None:
        raise ValueError("scores alone name no circuit; give circuit= as well (scores.top(n), or find_minimal's)")
    if not isinstance(chosen, Circuit):
        raise ValueError(f"circuit {shortened(chosen)} is no Circuit; Circuit.from_edges makes one of names of edges")
    for ablation in ablations:
        check_contrast(pairs, ablation, model.causal)
    check_origin(model, pairs.header, "pairs")
    check_origin(model, chosen.origin, "a circuit")
    refuse_keywords("verify", options, (f.name for f in fields(Settings)))
    settings = Settings(**options)
    subject = Subject(
        model, pairs, chosen, mode, settings, scores, reference, train, passages, ablations, directions, engine
    )
    _ = subject.mask  # an edge that the graph does not have is said now, not by every check
    result = Verification(_statement(subject))
    for job in progress([job for check in checks for job in CHECKS[check].work.jobs(subject)]):
        try:
            result = result.with_records(job.run())
        except ValueError as error:
            result = replace(result, refused=(*result.refused, f"{mode}, {job.label}: {error}"))
    return result


def _reversals(directions: bool | Sequence[bool]) -> tuple[bool, ...]:
    found = (directions,) if isinstance(directions, bool | str) else tuple(directions)
    for reverse in found:
        if not isinstance(reverse, bool):
            raise ValueError(f"direction {reverse!r} is not known; accepted: False and True, values of reverse")
    return found


def _statement(subject: Subject) -> dict[str, Any]:
    pairs, reference = subject.pairs, subject.reference or subject.pairs
    return {
        **subject.model.statement(),
        "n_pairs": len(pairs),
        "split": pairs.header.get("split"),
        "bos": pairs.header.get("bos"),
        "data_fingerprint": pairs.fingerprint,
        "n_edges": len(subject.circuit),
        "mode": subject.mode,
        "origin": dict(subject.circuit.origin),
        "averaging": "ratio of means over pairs",
        "means_over": f"{len(reference)} pairs ({reference.fingerprint})",
        "positions": "all edges at every position",
        "engine": subject.engine,
        "seed": subject.settings.seed,
    }
