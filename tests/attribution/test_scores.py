"""Edge scores as a record: what is refused, how they are read by edge and by node, saved, and made into circuits."""

from pathlib import Path

import pytest
import torch

from memcirc.attribution.scores import EdgeScores, Ranking, load_scores
from memcirc.circuit import Circuit
from memcirc.graph import Graph, GraphShape

GRAPH = Graph(GraphShape(1, 1, 1))
"""Edges of one head and one MLP: input into q, k, v, m0 and logits; a0.h0 into m0 and logits; m0 into logits."""
NAMES = ["input->a0.h0<q>", "input->a0.h0<k>", "input->a0.h0<v>", "input->m0", "input->logits", "a0.h0->m0",
         "a0.h0->logits", "m0->logits"]  # fmt: skip
VALUES = torch.tensor([0.0, -5.0, 3.0, 1.0, -2.0, 4.0, 0.5, 6.0])
SCORES = EdgeScores(GRAPH, VALUES, {"method": "eap"})


def test_scores_are_read_by_the_name_of_their_edge() -> None:
    assert list(GRAPH.edges) == NAMES
    assert SCORES.as_dict() == dict(zip(NAMES, VALUES.tolist(), strict=True))
    assert SCORES["input->logits"] == -2
    with pytest.raises(ValueError, match="no edge 'input->m1'"):
        SCORES["input->m1"]


def test_a_node_has_the_edges_that_leave_or_enter_it() -> None:
    by_node = SCORES.by_node()
    assert list(by_node) == ["input", "a0.h0", "m0", "logits"]
    assert by_node["input"] == dict(zip(NAMES[:5], VALUES[:5].tolist(), strict=True))
    assert by_node["a0.h0"] == {name: SCORES[name] for name in (*NAMES[:3], "a0.h0->m0", "a0.h0->logits")}
    assert by_node["m0"] == {name: SCORES[name] for name in ("input->m0", "a0.h0->m0", "m0->logits")}
    assert by_node["logits"] == {name: SCORES[name] for name in ("input->logits", "a0.h0->logits", "m0->logits")}


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("abs", ["m0->logits", "input->a0.h0<k>", "a0.h0->m0"]),
        ("signed", ["m0->logits", "a0.h0->m0", "input->a0.h0<v>"]),
    ],
)
def test_the_highest_edges_make_a_circuit_that_says_how_it_was_chosen(by: str, expected: list[str]) -> None:
    circuit = SCORES.top(3, by)
    assert circuit.edges == set(expected)
    assert circuit.origin == {"method": "eap", "selection": "top", "by": by}
    assert [NAMES[i] for i in SCORES.order(by)[:3].tolist()] == expected


def test_greedy_growth_takes_the_highest_edge_into_a_node_that_has_joined() -> None:
    """From the logits: m0 (6), then a0.h0 into m0 (4) before the rest, then k (5) into the head, v (3), ..."""
    order = [NAMES[i] for i in SCORES.order("abs", "greedy").tolist()]
    assert order == ["m0->logits", "a0.h0->m0", "input->a0.h0<k>", "input->a0.h0<v>", "input->logits", "input->m0",
                     "a0.h0->logits", "input->a0.h0<q>"]  # fmt: skip
    assert SCORES.greedy(2).edges == set(order[:2])
    assert SCORES.greedy(2).origin["selection"] == "greedy"
    signed = [NAMES[i] for i in SCORES.order("signed", "greedy").tolist()]
    assert signed[2:4] == ["input->a0.h0<v>", "input->m0"]


def test_a_ranking_is_computed_once() -> None:
    assert SCORES.order("abs") is SCORES.order("abs")
    assert SCORES.order("abs") is not SCORES.order("signed")


@pytest.mark.parametrize("n", [-1, 9])
def test_a_circuit_has_from_no_to_all_edges(n: int) -> None:
    with pytest.raises(ValueError, match=f"{n} edges asked for; accepted: 0 to 8"):
        SCORES.top(n)
    assert (len(SCORES.top(0)), len(SCORES.top(8))) == (0, 8)


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="selection 'best' is not known; accepted: top, greedy"):
        SCORES.order("abs", "best")
    with pytest.raises(ValueError, match="selection by 'size' is not known; accepted: abs, signed"):
        SCORES.order("size")


def test_as_many_scores_as_edges_are_needed_and_none_that_is_no_number() -> None:
    with pytest.raises(ValueError, match=r"scores of shape \(7,\) for a graph of 8 edges"):
        EdgeScores(GRAPH, VALUES[:7])
    broken = VALUES.clone()
    broken[[1, 4]] = torch.nan
    with pytest.raises(ValueError, match="2 of 8 edge scores are NaN"):
        EdgeScores(GRAPH, broken)
    own = torch.ones(3, 8)
    own[1, 2:4] = float("nan")
    with pytest.raises(ValueError, match="1 of 3 pairs have edge scores that are NaN"):
        EdgeScores(GRAPH, VALUES, {}, own)


def test_a_circuits_rule_is_read_from_what_it_states_and_is_the_usual_one_without() -> None:
    stated = Ranking.of(SCORES, Circuit(frozenset(), {"by": "signed", "selection": "greedy"}))
    assert (stated.by, stated.selection) == ("signed", "greedy")
    assert torch.equal(stated.order, SCORES.order("signed", "greedy"))
    usual = Ranking.of(SCORES, Circuit(frozenset()))
    assert (usual.by, usual.selection) == ("abs", "top")
    masks = usual.masks([0, 2, 8])
    assert masks.sum(1).tolist() == [0, 2, 8]
    assert {NAMES[i] for i in masks[1].nonzero()[:, 0].tolist()} == {"m0->logits", "input->a0.h0<k>"}


@pytest.mark.parametrize("per_example", [None, torch.arange(16.0).view(2, 8)])
def test_scores_are_saved_and_read_back(tmp_path: Path, per_example: torch.Tensor | None) -> None:
    EdgeScores(GRAPH, VALUES, {"method": "eap", "steps": 3}, per_example).save(tmp_path / "scores.safetensors")
    found = load_scores(tmp_path / "scores.safetensors")
    assert found.graph == GRAPH
    assert torch.equal(found.values, VALUES)
    assert found.origin == {"method": "eap", "steps": 3}
    if per_example is None:
        assert found.per_example is None
    else:
        assert found.per_example is not None
        assert torch.equal(found.per_example, per_example)


def test_a_file_that_is_none_of_scores_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no edge scores at .*none"):
        load_scores(tmp_path / "none")
    (tmp_path / "text").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="text: not a circuit in EAP-IG's or MIB's JSON"):
        load_scores(tmp_path / "text")
    (tmp_path / "text.safetensors").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"text\.safetensors: not a file of memcirc edge scores"):
        load_scores(tmp_path / "text.safetensors")


def test_scores_say_their_method_and_model_in_short() -> None:
    assert repr(SCORES) == "EdgeScores(8 edges, method eap, model not stated)"
