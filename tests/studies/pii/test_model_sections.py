"""Tables about the two models, from results made by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from memcirc.studies.pii.model_sections import (
    basis_section,
    direct_section,
    misaligned_section,
    recitation_section,
    separation_section,
)
from memcirc.studies.pii.results import PiiResults, Separation
from tests.studies.pii.made import APART, rows


def test_recall_stands_by_frequency_then_by_type(results: PiiResults) -> None:
    found = recitation_section(results)
    assert [row["group"] for row in rows(found)] == ["copies 1", "copies 20", "all injected", "all injected", "type id"]
    assert found.shown == ("Ann is[12]   20 copies",)


def test_direct_effects_are_summed_by_part(results: PiiResults, tmp_path: Path) -> None:
    assert rows(direct_section(tmp_path, results)) == [
        {"part": "embed", "target": 1.0, "control": 0.5}, {"part": "heads", "target": 4.0, "control": 2.0},
        {"part": "mlps", "target": 2.0, "control": 1.0}, {"part": "biases", "target": 0.5, "control": 0.25},
    ]  # fmt: skip


def test_the_basis_has_the_largest_self_patch_and_both_controls(results: PiiResults, tmp_path: Path) -> None:
    found = basis_section(tmp_path, replace(results, misaligned=APART))
    assert "at most 1e-07 of its size" in found.text[1]
    assert rows(found) == [{"pair": "one", "mean log-probability": -1.0}]
    assert "another initialisation" in found.drawings[0].svg


def test_sections_of_what_there_is_not(results: PiiResults, tmp_path: Path) -> None:
    assert misaligned_section(tmp_path, results) == []
    (none,) = separation_section(tmp_path, results)
    assert none.text == ("Not drawn: two passages of either kind are needed.",)
    memorized = np.array([True, True, False, False])
    points = np.arange(8.0).reshape(4, 2)
    shares = np.array([0.75, 0.25])
    separation = Separation((1, 2), {"target": (0.1, 0.9)}, 2, memorized, {"target": points}, {"target": shares})
    (some,) = separation_section(tmp_path, replace(results, separation=separation))
    assert "target (75%, 25%)" in some.drawings[1].svg
    assert "after layer 2," in some.drawings[1].caption
