"""Circuits that only carry the differing token in."""

from typing import Any

import pytest
import torch

from memcirc.circuits.runner import circuit_runner
from memcirc.graph import INPUT
from memcirc.report.checks.trivial import VIEW
from memcirc.verification.subject import Subject
from memcirc.verification.trivial import FromInput, from_input
from tests.report.records import evidence, record
from tests.verification.subjects import subject


def leaving_input(made: Subject) -> set[str]:
    return {edge for edge in made.graph.edges if edge.startswith(f"{INPUT}->")}


def test_in_mode_edge_all_edges_out_of_the_input_exchange_the_prompts() -> None:
    made = subject(mode="edge", n_edges=200)
    every = leaving_input(made)
    object.__setattr__(made, "circuit", type(made.circuit)(frozenset(every), made.circuit.origin))
    (row,) = from_input(made)
    assert (row.from_input, row.trivial) == (len(every), True)
    assert row.input_alone == pytest.approx(1)


def test_what_is_said_is_what_the_runner_measures() -> None:
    made = subject(mode="edge", n_edges=40)
    (row,) = from_input(made)
    test = circuit_runner(made.model, made.pairs, mode="edge")
    own = leaving_input(made) & made.circuit.edges
    assert row.from_input == len(own)
    assert row.input_alone == pytest.approx(float(test.faithfulness([own])[0]))
    assert row.trivial == (row.input_alone >= made.settings.target)
    assert made.scores is not None
    assert made.train is not None
    order = [i for i in made.scores.order().tolist() if made.graph.edges[i] not in leaving_input(made)]
    train = circuit_runner(made.model, made.train, mode="edge")
    masks = torch.zeros(len(order) + 1, made.graph.n_edges, dtype=torch.bool)
    for size in range(1, len(order) + 1):
        masks[size] = masks[size - 1]
        masks[size, order[size - 1]] = True
    kept = train.faithfulness(masks[[row.smallest_without or 0, (row.smallest_without or 1) - 1, -1]])
    assert row.others_keep == pytest.approx(float(kept[2]))
    assert row.smallest_without is not None
    assert kept[0] >= row.target > kept[1]
    assert row.faithfulness_without == pytest.approx(float(test.faithfulness(masks[[row.smallest_without]])[0]))


def test_in_mode_tree_nothing_is_left_without_the_input() -> None:
    (row,) = from_input(subject(mode="tree"))
    assert (row.smallest_without, row.faithfulness_without) == (None, None)
    assert row.others_keep == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("given", "holds", "said"),
    [
        ({}, True, "it does more than carry"),
        ({"trivial": True, "smallest_without": 9, "faithfulness_without": 0.5}, False, "without them 9 edges"),
        ({"trivial": True, "others": 7, "others_keep": 0.25}, False, "all 7 other edges: 0.25 on training pairs"),
    ],
)
def test_the_page_calls_a_trivial_circuit_so(given: dict[str, Any], holds: bool, said: str) -> None:
    made = evidence(record(FromInput, **given))
    (found,), (claim,) = VIEW.findings("t", made), VIEW.claims
    answer = claim.answer(made)
    assert answer is not None
    assert found.holds is answer.holds is holds
    assert said in found.text
