"""The tests on circuits whose outcome is known: the whole model, the empty circuit, random ones."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from memcirc.circuit import Circuit
from memcirc.pairs.record import Pairs
from memcirc.verification.drawing import connected_circuits
from memcirc.verification.hypotheses import (
    WORK,
    Hypothesis,
    HypothesisTest,
    _distances,
    _inflated,
    _references,
    _result,
    equivalence,
    independence,
    minimality,
    partial_necessity,
    sufficiency,
)
from memcirc.verification.hypothesis_tests import hsic
from memcirc.verification.subject import Subject
from tests.verification.subjects import subject


def with_circuit(made: Subject, edges: list[str]) -> Subject:
    return replace(made, circuit=Circuit.from_edges(edges))


@pytest.fixture(scope="module")
def made() -> Subject:
    return subject("gpt2", n_edges=12)


def test_the_found_circuit_is_sufficient_and_necessary(made: Subject) -> None:
    whole = subject("gpt2", n_edges=120)
    for test in (sufficiency, partial_necessity):
        result = test(whole)
        assert result.n == 40
        assert result.supports == result.rejected == (result.p_value <= 0.05)
    assert sufficiency(whole).detail["distance"] < sufficiency(whole).detail["reference_median"]


def test_a_random_circuit_is_not_said_to_be_sufficient(made: Subject) -> None:
    """Negative control: circuits drawn as the references are pass the test of sufficiency hardly ever."""
    graph = made.graph
    passed = 0
    for mask in connected_circuits(graph, 12, 12, torch.Generator().manual_seed(99)):
        edges = [graph.edges[i] for i in mask.nonzero()[:, 0].tolist()]
        passed += sufficiency(with_circuit(made, edges)).rejected
    assert passed <= 2


def test_the_whole_model_ties_with_itself_so_that_equivalence_is_refused(made: Subject) -> None:
    everything = with_circuit(made, list(made.graph.edges))
    with pytest.raises(
        ValueError, match=r"0 groups of pairs on which the two differ; a sign test at 0.05 needs at least 6"
    ):
        equivalence(everything)
    with pytest.raises(ValueError, match="every edge of the graph"):
        minimality(everything)


def test_equivalence_counts_the_pairs_that_the_circuit_wins(made: Subject) -> None:
    runner = made.runner()
    own, whole = runner.per_pair([made.circuit])[0], runner.end_values()[1]
    result = equivalence(made)
    assert result.effect == pytest.approx(float((own > whole).double().mean()))
    assert result.n == len(made.pairs)


def test_an_edge_without_effect_makes_a_circuit_not_minimal(made: Subject) -> None:
    """A query edge into a head whose output goes nowhere changes nothing."""
    idle = with_circuit(made, ["input->logits", "input->m0", "m0->logits", "input->a2.h0<q>"])
    result = minimality(idle)
    assert not result.supports
    assert result.detail["weakest"][0] == {"edge": "input->a2.h0<q>", "effect": 0.0, "p_value": 1.0}


def test_minimality_needs_enough_inflated_circuits(made: Subject) -> None:
    few = subject("gpt2", n_edges=30, settings={"n_random": 5})
    with pytest.raises(ValueError, match=r"5 inflated circuits; Holm's correction over 30 edges needs at least 10"):
        minimality(few)
    with pytest.raises(ValueError, match="a circuit of 0 edges is not defined"):
        minimality(with_circuit(made, []))


def test_what_is_left_of_the_model_without_nothing_is_not_independent_of_it(made: Subject) -> None:
    empty = with_circuit(made, [])
    assert independence(empty).p_value <= 0.05
    assert independence(empty).supports is False


@pytest.mark.parametrize("test", [equivalence, independence])
def test_a_null_that_stands_is_not_counted_for_the_circuit(
    made: Subject, test: Callable[[Subject], HypothesisTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memcirc.verification.hypotheses.sign_test", lambda *_: 0.2)
    monkeypatch.setattr("memcirc.verification.hypotheses.hsic_test", lambda *_: (0.1, 0.2))
    monkeypatch.setattr("memcirc.verification.hypotheses.detectable_share", lambda *_: None)
    result = test(made)
    assert not result.rejected
    assert result.supports is None


def test_every_test_states_its_null_effect_p_and_n(made: Subject) -> None:
    names = []
    for job in WORK.jobs(made):
        (result,) = job.run(made)
        assert isinstance(result, HypothesisTest)
        names.append(result.test)
        assert job.label == f"test of {result.test.replace('0.1', 'margin')}"
        assert result.detectable is None or 0 < result.detectable <= 1
        assert result.detectable_is
        assert result.null
        assert result.effect_is
        assert 0 <= result.p_value <= 1
        assert result.n > 0
    assert names == [
        "equivalence",
        "equivalence within 0.1",
        "sufficiency",
        "partial necessity",
        "minimality",
        "independence",
    ]


@pytest.mark.parametrize(
    ("p", "hoped", "rejected", "supports"),
    [(0.05, False, True, True), (0.051, False, False, False), (0.05, True, True, False), (0.051, True, False, None)],
)
def test_a_null_that_is_hoped_for_speaks_against_a_circuit_or_not_at_all(
    made: Subject, p: float, hoped: bool, rejected: bool, supports: bool | None
) -> None:
    row = _result(made, Hypothesis("a test", "a null", "an effect", "a share", hoped), 0.5, p, 12, 0.7, {"more": 1})
    assert (row.rejected, row.supports) == (rejected, supports)
    assert (row.test, row.null, row.effect_is, row.effect, row.p_value, row.n) == (
        "a test", "a null", "an effect", 0.5, p, 12,
    )  # fmt: skip
    assert (row.detectable, row.detectable_is) == (0.7, "a share")
    assert (row.n_edges, row.detail, row.way) == (len(made.circuit), {"more": 1}, made.runner().way())


def test_equivalence_counts_the_pairs_on_which_the_circuit_is_higher(made: Subject) -> None:
    found = made.runner().per_pair([made.circuit])[0].double()
    whole = made.runner().end_values()[1].double()
    row = equivalence(made)
    assert row.effect == pytest.approx(float((found > whole).double().mean()))
    assert (row.n, row.detail) == (len(made.pairs), {"ties": 0})


def test_distances_to_the_model_are_those_of_one_less_faithfulness(made: Subject) -> None:
    masks = torch.stack([made.mask, ~made.mask])
    expected = (1 - made.runner().faithfulness(masks)).abs()
    torch.testing.assert_close(_distances(made, masks), expected)


def test_sufficiency_and_necessity_count_random_circuits_on_either_side(made: Subject) -> None:
    random = _references(made)
    assert random.sum(1).tolist() == [len(made.circuit)] * made.settings.n_random
    own, others = float(_distances(made, made.mask[None])[0]), _distances(made, random)
    row = sufficiency(made)
    assert row.effect == pytest.approx(float((others > own).double().mean()))
    assert row.detail == pytest.approx({"distance": own, "reference_median": float(others.median())})
    own, others = float(_distances(made, ~made.mask[None])[0]), _distances(made, ~random)
    row = partial_necessity(made)
    assert row.effect == pytest.approx(float((others < own).double().mean()))
    assert row.detail == pytest.approx({"distance": own, "reference_median": float(others.median())})


def test_an_inflated_circuit_has_a_path_more_and_is_tried_without_one_of_its_edges(made: Subject) -> None:
    inflated, without = _inflated(made, 12)
    for more, less in zip(inflated, without, strict=True):
        assert bool((more & made.mask).sum() == made.mask.sum())
        assert bool((more & ~made.mask).any())
        gone = more & ~less
        assert int(gone.sum()) == 1
        assert not bool((gone & made.mask).any())
        assert not bool((less & ~more).any())


def test_pairs_of_one_document_count_as_one(made: Subject) -> None:
    """Ten pairs of five documents, two each: five groups, too few for a sign test."""
    items = tuple(replace(pair, doc_id=f"document {i // 2}") for i, pair in enumerate(made.pairs))
    grouped = replace(made, pairs=Pairs(items, made.pairs.header))
    with pytest.raises(ValueError, match="5 groups of pairs on which the two differ"):
        equivalence(grouped)
    single = independence(made)
    of_groups = independence(grouped)
    assert (single.n, of_groups.n) == (10, 5)
    logits = made.runner().logits(torch.stack([~made.mask, torch.ones_like(made.mask)]), answers_only=True).double()
    means = logits.reshape(2, 5, 2, -1).mean(2).numpy()
    assert of_groups.effect == pytest.approx(hsic(*means))
