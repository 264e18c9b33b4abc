"""One budget for every runner: what is kept never exceeds it, and what is not kept is computed again, the same."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memcirc.circuits.runner import circuit_runner
from memcirc.engine.memory import Memory
from memcirc.engine.prepared import Prepared, prepare
from memcirc.graph import graph_of
from memcirc.interventions import RunSettings
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from tests.models import random_pairs, small_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model("gpt2")


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return random_pairs(5, (4, 6, 5))


def made(model: Model, pairs: Pairs, memory: Memory, mode: str = "tree") -> Prepared:
    return prepare(model, pairs, RunSettings(mode), batch_size=2, memory=memory)


def kept(prepared: Prepared) -> int:
    return len(prepared.memory.used_by(prepared.runner))


def everything(model: Model) -> torch.Tensor:
    return torch.ones(1, graph_of(model).n_edges, dtype=torch.bool)


def test_batches_beyond_the_budget_are_computed_again(model: Model, pairs: Pairs) -> None:
    held, forgotten = made(model, pairs, Memory(CPU)), made(model, pairs, Memory(CPU, budget=0))
    assert (kept(held), kept(forgotten)) == (3, 0)
    torch.testing.assert_close(held.logits(everything(model)), forgotten.logits(everything(model)))


def test_where_not_all_batches_are_kept_one_finds_room_to_be_made(model: Model, pairs: Pairs) -> None:
    """What is kept, and the largest batch beside it, stay within the budget."""
    sizes = made(model, pairs, Memory(CPU))._sizes
    for budget in range(0, sum(sizes) + 1, 100):
        runner = made(model, pairs, Memory(CPU, budget=budget))
        assert kept(runner) in (0, len(sizes)) or runner.memory.held + max(sizes) <= budget


def test_the_runner_at_work_takes_the_room_of_the_one_used_longest_ago(model: Model, pairs: Pairs) -> None:
    alone = Memory(CPU)
    made(model, pairs, alone)
    memory = Memory(CPU, budget=2 * alone.held + alone.held // 4)
    first, second = made(model, pairs, memory), made(model, pairs, memory, "edge")
    first.logits(everything(model))
    third = made(model, pairs, memory)
    assert (kept(first), kept(third)) == (3, 3)
    assert kept(second) < 3
    expected = made(model, pairs, Memory(CPU), "edge").logits(everything(model))
    torch.testing.assert_close(second.logits(everything(model)), expected)
    assert memory.held <= memory.budget
    assert kept(second) == 3


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), max_size=40))
def test_the_budget_holds_whoever_asks_for_what(requests: list[tuple[int, int]]) -> None:
    memory = Memory(CPU, budget=100)
    runners = [memory.enter() for _ in range(4)]
    for number, (who, size) in enumerate(requests):
        batches = memory.used_by(runners[who])
        before = dict(batches)
        if memory.has_room(runners[who], size):
            batches[number] = None, size
        assert before.items() <= batches.items()
        assert memory.held <= 100


def test_many_runners_of_many_pairs_keep_no_more_than_one(model: Model) -> None:
    many, memory = random_pairs(60, 8), Memory(CPU, budget=1 << 20)
    for mode in ("tree", "edge"):
        for ablation in ("resample", "zero", "mean-clean"):
            runner = circuit_runner(model, many, mode=mode, ablation=ablation, batch_size=4, memory=memory)
            assert runner.faithfulness(everything(model)).tolist() == pytest.approx([1])
            assert memory.held <= memory.budget
