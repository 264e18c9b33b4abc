"""A keyword that a function hands on is refused under that function's name."""

import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

import memcirc
from memcirc.circuit import Circuit
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from tests.models import random_pairs, small_model

EMPTY = Circuit.from_edges([])
CALLS: dict[str, Callable[[Model, Pairs], Any]] = {
    "find_minimal(abaltion, ablation)": lambda m, p: memcirc.find_minimal(m, p, scored(m, p), mode="tree", abaltion=0),
    "run_circuit(revers, reverse)": lambda m, p: memcirc.run_circuit(
        m, p, Circuit.from_edges([]), mode="tree", revers=1
    ),
    "attribute(step, steps)": lambda m, p: memcirc.attribute(m, p, step=3),
    "verify(n_randm, n_random)": lambda m, p: memcirc.verify(m, p, scored(m, p).top(1), mode="tree", n_randm=3),
    "make_pairs(treshold, threshold)": lambda m, p: memcirc.make_pairs(m, pa.table({}), treshold=0.5),
    "passages_of(n_passage, n_passages)": lambda m, p: memcirc.passages_of(pa.table({}), 3, n_passage=3),
}


def scored(model: Model, pairs: Pairs) -> memcirc.EdgeScores:
    return memcirc.attribute(model, pairs, "eap")


@pytest.mark.parametrize("call", CALLS)
def test_a_mistyped_keyword_is_blamed_on_the_function_that_was_called(call: str) -> None:
    name, given, meant = re.findall(r"\w+", call)
    says = rf"^{name}\(\) got an unexpected keyword argument '{given}'; did you mean '{meant}'"
    with pytest.raises(TypeError, match=says):
        CALLS[call](small_model("gpt2"), random_pairs(2))
