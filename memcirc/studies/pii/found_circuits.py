"""The circuits of the injected records, found with the control as the target's twin.

1. The records that the target alone recites are split by person. Where a quarter of them would be too few for an
   interval, as many as that needs are for the test, if two are left to find circuits on and one to size them.
2. Attribution against the twin (mask-ig, log-probability of whole values) on train.
3. The smallest sufficient circuit keeps the target share of the difference between target and control while all other
   edges carry the control's values; the smallest necessary one takes it away when its edges alone do. Both are sized on
   validation by bisection, and measured on test: on so few records a still smaller size that reaches the target is as
   likely luck.
4. The same on other splits, since parts are small.
"""

from collections.abc import Sequence

import numpy as np

from memcirc.attribution.attribute import attribute
from memcirc.attribution.scores import EdgeScores, Ranking
from memcirc.circuits.minimal import find_minimal
from memcirc.circuits.runner import CircuitRunner, circuit_runner
from memcirc.models import Model
from memcirc.pairs.record import Pair, Pairs
from memcirc.statistics import FEWEST_GROUPS, normalised
from memcirc.studies.pii.circuit_results import FoundCircuit, GroupKept, OtherSplit
from memcirc.studies.pii.two_models import LOGPROB
from memcirc.verification.curves import log_grid
from memcirc.verification.faithfulness import measure

TWIN, TARGET = "twin", 0.85
SUFFICIENT, NECESSARY = ("tree", False), ("edge", True)
CURVE_POINTS, OTHER_SPLITS = 24, 4
Way = tuple[str, bool]
"""Mode, and whether it is reversed."""


def split_by_person(pairs: Pairs, seed: int = 0) -> tuple[Pairs, ...]:
    """Train, validation and test.

    Raises:
        TooFewPairs: fewer than three people.
    """
    n = len(pairs.components())
    if FEWEST_GROUPS + 3 <= n < 4 * FEWEST_GROUPS:
        rest = n - FEWEST_GROUPS
        return pairs.split((2 * rest / (3 * n), rest / (3 * n), FEWEST_GROUPS / n), seed)
    return pairs.split(seed=seed)


def find_circuits(
    model: Model, train: Pairs, validation: Pairs, test: Pairs, *, curve_points: int = CURVE_POINTS
) -> tuple[FoundCircuit, FoundCircuit]:
    """The sufficient and the necessary circuit of a model beside its twin.

    Args:
        curve_points: sizes at which the ranking is measured on test besides; 0: there is no curve.

    Raises:
        ValueError: the two models say the same of the validation or of the test records.
    """
    scores = attribute(model, train, ablation=TWIN, objective=LOGPROB)
    sufficient, necessary = (
        _found(model, scores, validation, test, way, curve_points) for way in (SUFFICIENT, NECESSARY)
    )
    return sufficient, necessary


def found_anew(model: Model, pairs: Pairs, necessary: FoundCircuit) -> list[OtherSplit]:
    """Both circuits of other splits of the same pairs, beside the necessary one of the first.

    Raises:
        ValueError: as :func:`find_circuits` and :func:`split_by_person`.
    """
    first, rows = set(necessary.edges), []
    for seed in range(1, 1 + OTHER_SPLITS):
        sufficient, other = find_circuits(model, *split_by_person(pairs, seed), curve_points=0)
        shared = len(first & set(other.edges)) / len(first | set(other.edges))
        rows.append(
            OtherSplit(
                seed, len(sufficient.edges), sufficient.test.faithfulness, len(other.edges), other.left, shared
            )
        )  # fmt: skip
    return rows


def _found(
    model: Model, scores: EdgeScores, validation: Pairs, test: Pairs, way: Way, curve_points: int
) -> FoundCircuit:
    mode, reverse = way
    minimal = find_minimal(
        model, validation, scores, mode=mode, reverse=reverse, ablation=TWIN, target=TARGET, metric=LOGPROB,
        scan=False,
    )  # fmt: skip
    runner = _runner(model, test, way)
    sizes = [0, *log_grid(scores.graph.n_edges, curve_points)] if curve_points else []
    curve = runner.faithfulness(Ranking(scores).masks(sizes), LOGPROB).tolist()
    measured = measure(runner, minimal.circuit, LOGPROB)
    return FoundCircuit(tuple(minimal.circuit), minimal.faithfulness, measured, dict(zip(sizes, curve, strict=True)))


def _runner(model: Model, pairs: Pairs, way: Way) -> CircuitRunner:
    mode, reverse = way
    return circuit_runner(model, pairs, mode=mode, reverse=reverse, ablation=TWIN)


def kept_by_group(
    model: Model, circuits: tuple[FoundCircuit, FoundCircuit], injected: Pairs, found_on: Sequence[Pair]
) -> list[GroupKept]:
    """What the sufficient circuit keeps, and what is left without the necessary one, by copies and by type of value.

    Args:
        injected: all injected records, recited or not; found_on: those that the circuits were found or sized on.
    """
    runners = [_runner(model, injected, way) for way in (SUFFICIENT, NECESSARY)]
    groups = {
        ("copies", copies): [i for i, pair in enumerate(injected) if pair.copies == copies]
        for copies in sorted({pair.copies for pair in injected if pair.copies is not None})
    } | {
        ("type", kind): [i for i, pair in enumerate(injected) if pair.subset == kind]
        for kind in dict.fromkeys(pair.subset for pair in injected if pair.subset)
    }
    values = [
        runner.per_pair([circuit.edges], LOGPROB)[0] for runner, circuit in zip(runners, circuits, strict=True)
    ]  # fmt: skip
    rows = []
    for (by, group), members in groups.items():
        kept, lost = (
            _share(runner, value.double().cpu().numpy(), members)
            for runner, value in zip(runners, values, strict=True)
        )  # fmt: skip
        n_found_on = sum(injected[i] in found_on for i in members)
        rows.append(GroupKept(by, str(group), len(members), n_found_on, kept, None if lost is None else 1 - lost))
    return rows


def _share(runner: CircuitRunner, values: np.ndarray, members: Sequence[int]) -> float | None:
    """Faithfulness on some of a runner's pairs, by their own ends; None where these coincide."""
    nothing, everything = runner.end_values(LOGPROB).double().cpu().numpy()[:, members].mean(1)
    share = float(normalised(values[members].mean(), nothing, everything, runner.resolution(LOGPROB, len(members))))
    return None if np.isnan(share) else share
