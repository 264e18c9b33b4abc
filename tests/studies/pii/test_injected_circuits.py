"""The whole road on a tiny pair of models: which text is measured, and when there is no circuit."""

import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from memcirc.models import load_model
from memcirc.studies.pii.circuit_results import InjectedCircuits, NoCircuits
from memcirc.studies.pii.injected_circuits import injected_circuits
from memcirc.studies.pii.samples import OTHERS
from memcirc.studies.pii.two_models import TwoModels


def test_every_text_that_there_is_has_a_row(two: TwoModels) -> None:
    injected = [sample for sample in two.samples if sample.injected]
    known = replace(two, known={"decoys": two.samples[5:7], "neutral documents": two.samples[7:]})
    found = injected_circuits(known, injected, injected)
    assert isinstance(found, InjectedCircuits)
    assert {row.text: row.n_passages for row in found.removal} == {
        "memorized": 1, "found on": 4, "decoys": 2, "neutral documents": 1, OTHERS: 3,
    }  # fmt: skip
    assert [(row.text, row.n_records) for row in found.suppression] == [
        (row.text, row.n_passages) for row in found.removal
    ]
    for row in found.removal:
        assert (row.mode, row.ablation, row.n_edges) == ("edge", "twin", len(found.necessary.edges))
        assert row.added == pytest.approx(row.removed - row.intact)
    own = found.removal[0]
    lost = (own.removed - own.intact) / (own.everything - own.intact)
    assert found.necessary.test.faithfulness == pytest.approx(lost, abs=1e-4)
    assert sum(row.sufficient for row in found.places if row.by == "kinds") == len(found.sufficient.edges)
    assert found.warning is None


def test_own_models_have_neither_decoys_nor_neutral_text(two: TwoModels) -> None:
    alone = replace(two, samples=two.samples[:5])
    found = injected_circuits(alone, alone.samples, alone.samples)
    assert isinstance(found, InjectedCircuits)
    assert [row.text for row in found.removal] == ["memorized", "found on"]


def test_too_few_people_have_no_circuit(two: TwoModels) -> None:
    assert injected_circuits(two, two.samples[:5], two.samples[:2]) == NoCircuits(
        "2 pairs form 2 unrelated group(s); train, validation and test need at least 3"
    )


def test_models_that_say_the_same_have_no_circuit(two: TwoModels) -> None:
    found = injected_circuits(replace(two, control=two.target), two.samples, two.samples)
    assert isinstance(found, NoCircuits)
    assert found.reason.endswith("nothing was learned")


def test_models_without_a_basis_are_warned_about_in_the_result_alone(two: TwoModels, pair: Path) -> None:
    apart = replace(two, control=load_model(str(pair / "stranger"), device="cpu"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = injected_circuits(apart, two.samples[:5], two.samples[:5])
    assert isinstance(found, InjectedCircuits)
    assert "do not share a basis" in str(found.warning)
