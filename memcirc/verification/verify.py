"""Verify a circuit: what it keeps, in every way to run it, and what a sceptic would ask next.

==============  =====================================================================================================
check           what it measures
==============  =====================================================================================================
faithfulness    the circuit under every ablation and direction, each with its own ends; the spread over pairs
curve           the ranking's prefixes over a grid of sizes (:mod:`memcirc.verification.curves`)
random          random circuits of the same size, of every kind (:mod:`memcirc.verification.random_circuits`)
dose            by copies in the corpus (:mod:`memcirc.verification.dose`)
stability       over documents, resamples and splits (:mod:`memcirc.verification.stability`)
specificity     other text, copying: a double dissociation (:mod:`memcirc.verification.specificity`)
generation      recitation under the circuit (:mod:`memcirc.verification.generation`)
tests           the circuit hypothesis (:mod:`memcirc.verification.hypotheses`)
knockout        completeness, necessity, back-ups (:mod:`memcirc.verification.knockout`)
methods         circuits of other methods and selections (:mod:`memcirc.verification.stability`)
time            circuits of later tokens (:mod:`memcirc.verification.time_resolved`)
==============  =====================================================================================================

What a check cannot do is listed in ``refused`` with the reason and its numbers; the others are still made.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import product
from typing import Any

from memcirc.artifacts import finite
from memcirc.attribution.scores import EdgeScores
from memcirc.circuit import Circuit
from memcirc.config import names, shortened
from memcirc.models import Model
from memcirc.options import refuse_keywords
from memcirc.pairs.contrast import check_contrast
from memcirc.pairs.record import Pairs
from memcirc.verification.config import CHECK_NAMES, DEFAULT_CHECKS
from memcirc.verification.curves import Curve, curves
from memcirc.verification.dose import Dose, dose_response
from memcirc.verification.faithfulness import Distribution, Measurement, distribution, measure
from memcirc.verification.generation import Generation, generation
from memcirc.verification.hypotheses import HypothesisTest, hypothesis_tests
from memcirc.verification.knockout import KnockOut, knock_out
from memcirc.verification.origin import check_origin
from memcirc.verification.passages import Passages
from memcirc.verification.random_circuits import KINDS, RandomComparison, check_enough, compare_with_random
from memcirc.verification.specificity import Dissociation, specificity
from memcirc.verification.stability import MethodOverlap, Stability, method_overlaps, stability
from memcirc.verification.subject import Settings, Subject
from memcirc.verification.time_resolved import Moment, time_resolved

Progress = Callable[[Iterable[Any]], Iterable[Any]]
CHECKS = CHECK_NAMES
ON_PASSAGES = ("specificity", "generation")


@dataclass(frozen=True)
class Verification:
    """Every number with what it was measured under.

    ``statement`` names model, data, split, circuit and seed; the other fields hold the records of the checks, and
    ``refused`` what could not be measured.
    """

    statement: Mapping[str, Any]
    faithfulness: Sequence[Measurement] = ()
    distribution: Sequence[Distribution] = ()
    random: Sequence[RandomComparison] = ()
    curve: Sequence[Curve] = ()
    dose: Sequence[Dose] = ()
    stability: Sequence[Stability] = ()
    specificity: Sequence[Dissociation] = ()
    generation: Sequence[Generation] = ()
    tests: Sequence[HypothesisTest] = ()
    knockout: Sequence[KnockOut] = ()
    methods: Sequence[MethodOverlap] = ()
    time: Sequence[Moment] = ()
    refused: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """The content as plain values, ready for a file. Every record carries the evaluation card: model, revision,
        dtype, BOS, split, pairs, ablation, base, direction, selection, averaging and seed."""
        content: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in ("statement", "refused"):
                content[f.name] = value
            else:
                content[f.name] = [{**self._card(f.name, record.mode), **asdict(record)} for record in value]
        return dict(finite(content))

    def _card(self, name: str, mode: str) -> dict[str, Any]:
        """What the records of one field have in common."""
        told = self.statement
        origin = told.get("origin") or told.get("circuits", {}).get(mode, {}).get("origin", {})
        pairs = f"{told.get('n_pairs')} pairs ({told.get('data_fingerprint')})"
        return {
            **{key: told.get(key) for key in ("model", "revision", "dtype", "bos", "split")},
            "pairs": "passages of the split's documents" if name in ON_PASSAGES else pairs,
            "selection": f"{origin.get('selection', 'given')} by {origin.get('by', 'hand')}",
            **{key: told.get(key) for key in ("averaging", "seed")},
        }

    def merged(self, other: "Verification") -> "Verification":
        """Both verifications' numbers under one statement."""
        records = {
            f.name: (*getattr(self, f.name), *getattr(other, f.name)) for f in fields(self) if f.name != "statement"
        }
        return Verification({**self.statement, **other.statement}, **records)


def verify(
    model: Model,
    pairs: Pairs,
    circuit_or_scores: Circuit | EdgeScores,
    *,
    mode: str,
    circuit: Circuit | None = None,
    checks: str | Sequence[str] = DEFAULT_CHECKS,
    ablations: str | Sequence[str] = ("resample", "zero", "mean-clean", "mean-corrupt"),
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
    checks, ablations, directions = names(checks), names(ablations), _reversals(directions)
    unknown = [check for check in checks if check not in CHECKS]
    if unknown:
        raise ValueError(f"check {unknown[0]!r} is not known; accepted: {', '.join(CHECKS)}")
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
    for name, label, job in progress([job for check in checks for job in JOBS[check](subject)]):
        try:
            made = job()
            records = (made,) if not isinstance(made, list | tuple) else tuple(made)
            result = result.merged(Verification({}, **{name: records}))
        except ValueError as error:
            result = result.merged(Verification({}, refused=(f"{mode}, {label}: {error}",)))
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
        "seed": subject.settings.seed,
    }


Job = tuple[str, str, Callable[[], Any]]


def _faithfulness(subject: Subject) -> Iterator[Job]:
    for ablation, reverse in product(subject.ablations, subject.directions):
        yield "faithfulness", _label(subject, ablation, reverse), partial(_measured, subject, ablation, reverse)
    for reverse in subject.directions:
        yield (
            "distribution",
            _label(subject, "resample", reverse),
            partial(_distribution, subject, reverse),
        )


def _label(subject: Subject, ablation: str, reverse: bool) -> str:
    base_clean = (subject.mode == "tree") != reverse
    return f"{ablation}, {'noising' if base_clean else 'denoising'}"


def _measured(subject: Subject, ablation: str, reverse: bool) -> Measurement:
    settings = subject.settings
    return measure(
        subject.runner(ablation, reverse), subject.circuit, settings.metric, settings.seed, settings.n_resamples
    )


def _distribution(subject: Subject, reverse: bool) -> Distribution:
    return distribution(subject.runner(reverse=reverse), subject.circuit, subject.settings.metric)


def _random(subject: Subject) -> Iterator[Job]:
    directions = subject.directions if subject.settings.thorough else subject.directions[:1]
    for kind, reverse in product(KINDS, directions):
        label = f"{_label(subject, 'resample', reverse)}, {kind} random circuits"
        yield "random", label, partial(_compared, subject, kind, reverse)
    yield "random", "random circuits", partial(_enough, subject)


def _compared(subject: Subject, kind: str, reverse: bool) -> RandomComparison:
    settings = subject.settings
    return compare_with_random(
        subject.runner(reverse=reverse), subject.circuit, settings.metric, settings.n_random, settings.seed, kind,
        subject.scores,
    )  # fmt: skip


def _enough(subject: Subject) -> tuple[()]:
    check_enough(subject.settings.n_random)
    return ()


def _one(name: str, make: Callable[[Subject], Iterable[Any]]) -> Callable[[Subject], Iterator[Job]]:
    """A check that is one job."""

    def jobs(subject: Subject) -> Iterator[Job]:
        yield name, name, lambda: tuple(make(subject))

    return jobs


def _tests(subject: Subject) -> Iterator[Job]:
    for name, test in hypothesis_tests(subject):
        yield "tests", f"test of {name}", test


JOBS: dict[str, Callable[[Subject], Iterator[Job]]] = {
    "faithfulness": _faithfulness,
    "curve": _one("curve", curves),
    "random": _random,
    "dose": _one("dose", dose_response),
    "stability": _one("stability", stability),
    "specificity": _one("specificity", specificity),
    "generation": _one("generation", generation),
    "tests": _tests,
    "knockout": _one("knockout", knock_out),
    "methods": _one("methods", method_overlaps),
    "time": _one("time", time_resolved),
}
assert JOBS.keys() == set(CHECKS)
