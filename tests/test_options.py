"""A keyword that a function hands on is refused under that function's name."""

import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

import pyarrow as pa
import pytest

import memcirc
from memcirc.attribution.settings import AttributionOptions, AttributionSettings
from memcirc.circuit import Circuit
from memcirc.circuits.runner import RunnerOptions
from memcirc.interventions import RunSettings
from memcirc.models import Model
from memcirc.pairs.config import PairsConfig, PairsOptions
from memcirc.pairs.record import Pair, Pairs, Wanted
from memcirc.verification.passages import Choice, ChoiceOptions
from memcirc.verification.settings import SettingOptions, Settings
from memcirc.verification.subject import Subject, SubjectOptions
from memcirc.verification.transfer import Measuring, TransferOptions
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
    "transfer(n_resample, n_resamples)": lambda m, p: memcirc.transfer(m, {}, {}, n_resample=3),
    "circuit_runner(revers, reverse)": lambda m, p: memcirc.circuit_runner(m, p, mode="tree", revers=True),
}


def scored(model: Model, pairs: Pairs) -> memcirc.EdgeScores:
    return memcirc.attribute(model, pairs, "eap")


@pytest.mark.parametrize("call", CALLS)
def test_a_mistyped_keyword_is_blamed_on_the_function_that_was_called(call: str) -> None:
    name, given, meant = re.findall(r"\w+", call)
    says = rf"^{name}\(\) got an unexpected keyword argument '{given}'; did you mean '{meant}'"
    with pytest.raises(TypeError, match=says):
        CALLS[call](small_model("gpt2"), random_pairs(2))


RECORDS = [
    (AttributionOptions, AttributionSettings, ("method",), ("reference", "twin", "reverse", "per_example")),
    (RunnerOptions, RunSettings, ("mode",), ("reference", "twin", "engine", "batch_size", "memory")),
    (PairsOptions, PairsConfig, ("contrastive_mode",), ()),
    (ChoiceOptions, Choice, ("prompt_tokens", "documents"), ()),
    (SettingOptions, Settings, (), ()),
    (TransferOptions, Measuring, (), ()),
]


@pytest.mark.parametrize(("options", "record", "said_otherwise", "beside"), RECORDS, ids=lambda case: str(case)[:40])
def test_the_options_of_a_function_are_the_fields_of_its_record(
    options: Any, record: Any, said_otherwise: tuple[str, ...], beside: tuple[str, ...]
) -> None:
    named = {f.name: f.type for f in fields(record) if f.name not in said_otherwise}
    assert {name: kind for name, kind in get_type_hints(options).items() if name not in beside} == named
    assert set(beside) <= options.__annotations__.keys()


def test_what_a_check_needs_and_what_is_wanted_of_pairs_are_fields() -> None:
    assert SubjectOptions.__annotations__.keys() <= Subject.__annotations__.keys()
    assert Wanted.__annotations__.keys() == Pair.__annotations__.keys()
