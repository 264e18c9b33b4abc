"""Knock-out, edge by edge: what each number says is recomputed with single runs."""

import pytest
import torch

from memcirc.attribution.knocked_out import attribute_without
from memcirc.verification.hypotheses import independence
from memcirc.verification.hypothesis_tests import hsic_test
from memcirc.verification.knockout import BACK_UP, knock_out
from tests.verification.subjects import subject


def test_a_back_up_is_an_edge_that_matters_more_once_the_circuit_is_gone() -> None:
    """Its effect is the fall of faithfulness when it goes: from the whole model, and from what the circuit left."""
    made = subject(n_edges=40)
    (row,), runner, graph = knock_out(made, False), made.runner(), made.graph
    whole, rest = torch.ones_like(made.mask), ~made.mask

    def effect(base: torch.Tensor, edge: str) -> float:
        without = base.clone()
        without[graph.index(edge)] = False
        kept, gone = runner.faithfulness(torch.stack([base, without])).tolist()
        return float(kept - gone)

    order = made.ranking.order
    candidates = [graph.edges[i] for i in order[~made.mask[order]][: row.n_candidates].tolist()]
    gains = {edge: abs(effect(rest, edge)) - abs(effect(whole, edge)) for edge in candidates}
    shown = {str(back_up["edge"]): back_up for back_up in row.back_ups}
    assert max(gains.values()) > BACK_UP > 0 > min(gains.values())
    assert row.n_back_ups == sum(gain > BACK_UP for gain in gains.values())
    assert list(shown) == sorted(gains, key=lambda edge: -gains[edge])[: len(shown)]
    for edge, back_up in shown.items():
        assert back_up["before"] == pytest.approx(effect(whole, edge), abs=1e-9)
        assert back_up["after"] == pytest.approx(effect(rest, edge), abs=1e-9)


def test_incompleteness_is_what_subsets_of_the_circuit_do_alone_and_within_the_model() -> None:
    made = subject(n_edges=40)
    (row,) = knock_out(made, False)
    assert row.without_circuit == pytest.approx(float(made.runner().faithfulness(~made.mask[None])[0]))
    assert 0 <= row.incompleteness <= row.incompleteness_highest


def test_independence_is_asked_of_the_complement_not_of_the_circuit() -> None:
    made = subject(n_edges=150)
    whole = torch.ones_like(made.mask)
    answers = made.runner().logits(torch.stack([~made.mask, made.mask, whole]), answers_only=True).double().numpy()
    of_rest, of_circuit = (hsic_test(answers[i], answers[2], 1000, made.settings.seed)[0] for i in (0, 1))
    assert of_rest != pytest.approx(of_circuit, rel=1e-3)
    assert independence(made).effect == pytest.approx(of_rest)


def test_discovery_goes_on_by_scores_of_what_is_left_of_the_model() -> None:
    made = subject(n_edges=40)
    row, runner = knock_out(made, False)[0], made.runner()
    assert row.scored_anew
    first = row.rounds[0]
    told = {name: value for name, value in made.attribution.items() if name != "method"}
    anew = made.ranked(attribute_without(made.model, made.train, made.mask, **told)).order
    second = torch.zeros_like(made.mask)
    second[anew[~made.mask[anew]][: first["n_edges"]]] = True
    assert first["faithfulness"] == pytest.approx(float(runner.faithfulness(second[None])[0]))
    assert first["left"] == pytest.approx(float(runner.faithfulness(~(second | made.mask)[None])[0]), abs=1e-9)
    old = made.ranking.order
    assert anew.tolist() != old.tolist()


def test_without_training_pairs_the_circuits_own_ranking_goes_on() -> None:
    made = subject(n_edges=40, train=None)
    row = knock_out(made, False)[0]
    assert not row.scored_anew
    order = made.ranking.order
    second = torch.zeros_like(made.mask)
    second[order[~made.mask[order]][: row.rounds[0]["n_edges"]]] = True
    assert row.rounds[0]["faithfulness"] == pytest.approx(float(made.runner().faithfulness(second[None])[0]))
