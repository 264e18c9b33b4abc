"""Findings and their thresholds, and the order of the page, from results made by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memcirc.studies.pii.circuit_results import NoCircuits
from memcirc.studies.pii.page import _findings, write_pii_page
from memcirc.studies.pii.results import INTO, PiiResults, Recall
from tests.studies.pii.made import ALIGNED, APART, effect


def test_findings_say_the_numbers_and_whether_they_meet_their_thresholds(results: PiiResults) -> None:
    told = {finding.text.split(":")[0].split(",")[0]: finding for finding in _findings(results)}
    assert [finding.holds for finding in told.values()] == [True, None, True, True, True, True, True]
    assert told["Answers recited exactly by copies in the training data"].text.endswith("0 of 4 at 1, 3 of 4 at 20.")
    assert "+2.00, +6.00 nats (the gap between the models is 8.00)" in told["Residual stream"].text


@pytest.mark.parametrize(
    ("changes", "number", "holds"),
    [
        ({"recall": [Recall("target", "copies 1", 4, 1, 0.0), Recall("target", "copies 20", 4, 2, 0.0)]}, 0, False),
        ({"alignment": APART}, 2, False),
        ({"alignment": APART}, 3, None),
        ({"effects": {INTO: [effect("resid_post", 0, 2.0), effect("resid_post", 1, 1.0)]}}, 3, False),
        ({"effects": {INTO: [effect("resid_post", 0, -1.0), effect("resid_post", 1, 1.0)]}}, 3, False),
        ({"agreement": 0.5}, 5, False),
        ({"circuits": NoCircuits("too few")}, 6, None),
        ({"misaligned": APART, "misaligned_effects": [effect("resid_post", 1, -9.0)]}, 7, True),
        ({"misaligned": ALIGNED, "misaligned_effects": [effect("resid_post", 1, -9.0)]}, 7, False),
        ({"misaligned": APART, "misaligned_effects": [effect("resid_post", 1, 0.5)]}, 7, False),
    ],
)
def test_a_threshold_is_missed_where_it_should_be(
    changes: dict[str, Any], number: int, holds: bool | None, results: PiiResults
) -> None:
    assert _findings(replace(results, **changes))[number].holds is holds


def test_fewer_passages_of_a_frequency_are_not_fewer_recited(results: PiiResults) -> None:
    recall = [Recall("target", "copies 10", 5, 5, 0.0), Recall("target", "copies 20", 3, 3, 0.0)]
    assert _findings(replace(results, recall=recall))[0].holds


def test_of_many_layers_the_finding_names_the_first_the_half_and_the_last(results: PiiResults) -> None:
    many = [effect("resid_post", layer, layer / 2 + 0.5) for layer in range(20)]
    told = _findings(replace(results, effects={INTO: [*results.effects[INTO], *many][-20:]}))
    text = next(finding.text for finding in told if finding.text.startswith("Residual"))
    assert "+0.50 after layer 0, +5.00 after layer 9, +10.00 after layer 19 nats" in text


def test_samples_that_do_not_say_their_copies_have_no_finding_on_them(results: PiiResults) -> None:
    without = replace(results, recall=[r for r in results.recall if not r.group.startswith("copies")])
    assert len(_findings(without)) == len(_findings(results)) - 1


def test_the_page_has_every_section_once_and_the_statement_last(results: PiiResults, tmp_path: Path) -> None:
    page = write_pii_page(tmp_path, results, {"seed": 3}).with_suffix(".md").read_text(encoding="utf-8")
    titles = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert len(titles) == len(set(titles))
    assert titles[-1] == "What was run"
    assert titles.index("Paths") < titles.index("Sets of components") < titles.index("Free generation")
    assert "The circuit of the injected records" in titles
