"""A refined circuit beside its prefix: what is lost on test pairs, with an interval of its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from memcirc.circuit import Circuit
from memcirc.circuits.runner import circuit_runner
from memcirc.report.checks.refinement import VIEW
from memcirc.statistics import resample_counts
from memcirc.verification.refinement import WORK, RefinedBesidePrefix, refinement
from memcirc.verification.stability import stability
from memcirc.verification.subject import Subject
from tests.report.records import evidence, record
from tests.verification.subjects import records, subject


def refined_subject(n_edges: int = 30, without: int = 4) -> Subject:
    """The subject's prefix of ``n_edges``, refined to all but its last ``without``."""
    made = subject(n_edges=n_edges)
    assert made.scores is not None
    told: Mapping[str, Any] = {
        "prefix": n_edges, "prefix_faithfulness": 0.9, "certified": True, "closest_removal": -0.1,
        "circuits_measured": 50, "faithfulness": 0.86,
    }  # fmt: skip
    left = made.scores.top(n_edges - without)
    circuit = Circuit(left.edges, {**left.origin, "refined": told})
    return subject_with(made, circuit)


def subject_with(made: Subject, circuit: Circuit) -> Subject:
    return replace(made, circuit=circuit)


def test_a_circuit_that_another_version_refined_is_refused_in_a_line() -> None:
    made = refined_subject()
    told = {name: value for name, value in made.circuit.origin["refined"].items() if name != "faithfulness"}
    older = Circuit(made.circuit.edges, {**made.circuit.origin, "refined": told})
    with pytest.raises(ValueError, match="states no faithfulness of its refinement"):
        refinement(subject_with(made, older))


def test_the_gap_is_what_the_prefix_keeps_more_on_the_same_test_pairs() -> None:
    made = refined_subject()
    assert made.scores is not None
    (row,) = refinement(made)
    runner = circuit_runner(made.model, made.pairs, mode="tree")
    before, after = runner.faithfulness([made.scores.top(30), made.circuit]).tolist()
    assert (row.prefix, row.n_edges, row.circuits) == (30, 26, 50)
    assert row.prefix_faithfulness == pytest.approx(before)
    assert row.faithfulness == pytest.approx(after)
    assert row.gap == pytest.approx(before - after)
    nothing, everything = runner.end_values().double().numpy()
    values = runner.per_pair([made.scores.top(30), made.circuit]).double().numpy()
    gaps = []
    for counts in resample_counts(made.pairs.components(), made.settings.n_resamples, made.settings.seed):
        low, high = (np.average(end, weights=counts) for end in (nothing, everything))
        gaps.append((np.average(values[0], weights=counts) - np.average(values[1], weights=counts)) / (high - low))
    assert (row.low, row.high) == pytest.approx(np.quantile(gaps, [0.025, 0.975]).tolist())


def test_only_refined_circuits_are_measured() -> None:
    assert records(WORK, subject()) == []
    assert len(records(WORK, refined_subject())) == 1


def test_what_is_found_again_of_a_refined_circuit_is_its_prefix() -> None:
    made = refined_subject()
    assert int(made.prefix_mask.sum()) == 30
    assert (made.mask <= made.prefix_mask).all()
    again, whole = stability(made)[0], stability(subject(n_edges=30))[0]
    assert (again.jaccard_found, again.jaccard_splits) == (whole.jaccard_found, whole.jaccard_splits)
    assert (again.n_edges, whole.n_edges) == (26, 30)


@pytest.mark.parametrize(
    ("given", "holds", "said"),
    [
        ({"certified": True, "gap": 0.02, "low": -0.1, "high": 0.1}, True, "0.02 less (-0.10 to 0.10)"),
        ({"certified": True, "gap": 0.07}, False, "0.07 less (threshold: at most 0.06)"),
        ({"certified": False, "gap": 0.0, "circuits": 9}, False, "the 9 circuits that may be measured did not suffice"),
    ],
)
def test_the_page_says_what_it_cost(given: dict[str, Any], holds: bool, said: str) -> None:
    (found,) = VIEW.findings("t", evidence(record(RefinedBesidePrefix, **given)))
    assert found.holds is holds
    assert said in found.text
