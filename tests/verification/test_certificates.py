"""Certificates of a circuit: those of its training pairs' own scores, and of its prefix where it was refined."""

import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.attribution.certificates import certified, inclusion
from memcirc.circuits.runner import circuit_runner
from memcirc.report.checks.certificates import VIEW
from memcirc.verification.certificates import Certified, EdgeFates, certificates, deletions
from tests.report.records import evidence, record
from tests.verification.subjects import subject
from tests.verification.test_refinement import refined_subject


def test_deletions_double_up_to_half_of_the_groups() -> None:
    assert [deletions(n) for n in (3, 4, 8, 9, 17)] == [[0, 1], [0, 1, 2], [0, 1, 2, 4], [0, 1, 2, 4], [0, 1, 2, 4, 8]]


def test_lines_are_the_certificates_of_the_training_pairs_scores() -> None:
    made = subject(n_edges=20)
    assert made.train is not None
    *lines, fates = certificates(made)
    scores = attribute(made.model, made.train, "eap", per_example=True)
    groups = made.train.components()
    runner = circuit_runner(made.model, made.pairs, mode="tree")
    assert [line.deleted for line in lines if isinstance(line, Certified)] == [0, 1, 2, 4]
    inside = []
    for line in lines:
        assert isinstance(line, Certified)
        expected = certified(scores, groups, 20, line.deleted)
        assert (line.inside, line.outside) == (expected.inside.sum(), expected.outside.sum())
        assert line.of_circuit == line.inside <= line.n_edges == line.circuit_edges == 20
        kept = runner.faithfulness(torch.from_numpy(expected.inside)[None])[0]
        assert line.faithfulness == pytest.approx(float(kept), abs=1e-6)
        inside.append(expected.inside)
    assert isinstance(fates, EdgeFates)
    often = inclusion(scores, groups, 20, made.settings.seed)
    assert set(fates.edges) == made.circuit.edges
    for edge, (survives, share, low, high) in fates.edges.items():
        index = made.graph.index(edge)
        assert survives == max((d for d, mask in zip((0, 1, 2, 4), inside, strict=True) if mask[index]), default=-1)
        assert (share, low, high) == (often.share[index], often.low[index], often.high[index])
    surest = [fate[0] for fate in fates.edges.values()]
    assert surest == sorted(surest, reverse=True)


def test_of_a_refined_circuit_the_prefix_is_certified() -> None:
    lines = [line for line in certificates(refined_subject()) if isinstance(line, Certified)]
    assert {(line.n_edges, line.circuit_edges) for line in lines} == {(30, 26)}
    assert lines[0].inside == 30
    assert lines[0].of_circuit == 26


def test_what_has_no_certificate_is_refused() -> None:
    made = subject()
    assert made.scores is not None
    grown = subject()
    object.__setattr__(grown, "circuit", made.scores.greedy(20))
    with pytest.raises(ValueError, match="grown from the logits has no certificate"):
        certificates(grown)
    few = subject()
    assert few.train is not None
    object.__setattr__(few, "train", few.train[:2])
    with pytest.raises(ValueError, match="2 training pairs form 2 groups of documents; three are needed"):
        certificates(few)


@pytest.mark.parametrize(("inside", "holds"), [(10, True), (9, False)])
def test_the_page_says_how_many_edges_are_certain(inside: int, holds: bool) -> None:
    none = record(Certified, deleted=0, n_edges=20, inside=20)
    one, two = (record(Certified, deleted=d, n_edges=20, inside=inside, n_documents=9) for d in (1, 2))
    made = evidence(none, one, two)
    (found,), (claim,) = VIEW.findings("t", made), VIEW.claims
    answer = claim.answer(made)
    assert answer is not None
    assert found.holds is answer.holds is holds
    assert answer.number == f"{inside} of the first 20"
    assert f"one of 9 groups of training documents is left out, {inside} of the ranking's first 20" in found.text
    assert not list(VIEW.findings("t", evidence()))


def test_edges_are_listed_with_what_is_certain_and_the_rest_is_counted() -> None:
    fates = record(
        EdgeFates, circuit_edges=4, edges={"a": [4, 1.0, 0.9, 1.0], "b": [0, 0.5, 0.4, 0.6], "c": [-1, 0.1, 0.0, 0.2]}
    )
    lines = list(VIEW.tables[1].lines(fates))
    assert [line.get("certain") for line in lines] == ["up to 4 deleted", "without a deletion", "open", None]
    assert lines[-1] == {"edge": "1 more"}
