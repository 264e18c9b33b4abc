"""Compiled programs do what they say, and edge scores find their circuits."""

import itertools

import pytest
import torch

from memcirc.interop.tracr import LENGTH, Program, compile_program, outputs
from memcirc.verification.ground_truth import Known, auc, recover

pytest.importorskip("tracr", reason="the programs' compiler comes with auto-circuit")


@pytest.fixture(scope="module", params=["reverse", "xproportion"])
def program(request: pytest.FixtureRequest) -> Program:
    return compile_program(request.param)


def test_the_program_says_its_answer_at_every_position(program: Program) -> None:
    said = outputs(program)
    if program.name == "reverse":
        for pair, row in zip(program.pairs, said, strict=True):
            answer = pair.clean_ids[1 + LENGTH - pair.read_at]
            assert pair.answer_ids == (answer,)
            assert int(row.argmax()) == answer
        return
    x = 3
    for pair, row in zip(program.pairs, said, strict=True):
        so_far = pair.clean_ids[1 : pair.read_at + 1]
        assert float(row[0]) == pytest.approx(so_far.count(x) / len(so_far), abs=1e-4)


def test_all_sequences_are_there_each_with_another_one(program: Program) -> None:
    kinds = {"reverse": 3, "xproportion": 4}[program.name]
    assert len({pair.clean_ids for pair in program.pairs}) == kinds**LENGTH
    assert all(pair.clean_ids != pair.corrupt_ids for pair in program.pairs)
    positions = {pair.read_at for pair in program.pairs}
    assert positions == set(range(1, LENGTH + 1))


def test_the_known_circuits_are_those_of_the_literature(program: Program) -> None:
    known = {
        "reverse": {"input->a3.h0<v>", "a3.h0->logits"},
        "xproportion": {"input->m0", "m0->a1.h0<v>", "a1.h0->logits"},
    }
    assert program.circuit.edges == known[program.name]
    assert len(program.zero_circuit) == {"reverse": 10, "xproportion": 5}[program.name]


@pytest.mark.parametrize("method", ["mask-ig", "eap", "eap-ig-inputs", "exact"])
def test_edge_scores_find_the_circuit_that_resampling_must_keep(program: Program, method: str) -> None:
    objective = "logit_diff" if program.name == "reverse" else "answer_logit"
    found = recover(
        Known(program.name, program.model, program.pairs[::7], program.circuit), method, objective, "resample"
    )
    assert (found.auc, found.recall_at_size) == (1, 1)


def test_random_scores_do_not() -> None:
    areas = [auc(torch.randn(77, generator=torch.Generator().manual_seed(s)), torch.arange(77) < 9) for s in range(200)]
    assert sum(areas) / 200 == pytest.approx(0.5, abs=0.03)


def test_an_unknown_program_is_refused() -> None:
    with pytest.raises(ValueError, match="program 'sort' is not known; accepted: reverse, xproportion"):
        compile_program("sort")


def test_the_area_counts_pairs_in_order_and_ties_by_half() -> None:
    """By hand: inside {3, 1}, outside {2, 1, 0}: 3 beats all three, 1 ties one and beats one: (3 + 1.5) / 6."""
    scores = torch.tensor([3.0, 1.0, 2.0, 1.0, 0.0])
    assert auc(scores, torch.tensor([1, 1, 0, 0, 0]).bool()) == pytest.approx(4.5 / 6)
    slow = [a > b or (a == b) / 2 for a, b in itertools.product([3.0, 1.0], [2.0, 1.0, 0.0])]
    assert sum(map(float, slow)) / 6 == pytest.approx(4.5 / 6)
    with pytest.raises(ValueError, match="a circuit of 0 of 5 edges has no area"):
        auc(scores, torch.zeros(5).bool())
