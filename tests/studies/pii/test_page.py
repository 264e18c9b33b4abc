"""The page by its numbers: findings and their thresholds, tables and matrices, from results made by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from memcirc.patching.restoring import PairEffect, Restored
from memcirc.patching.result import Sweep
from memcirc.report.sections import Section
from memcirc.studies.pii.alignment import Alignment
from memcirc.studies.pii.model_sections import (
    basis_section,
    direct_section,
    misaligned_section,
    recitation_section,
    separation_section,
)
from memcirc.studies.pii.page import _findings, write_pii_page
from memcirc.studies.pii.part_sections import part_sections
from memcirc.studies.pii.results import INTO, OUT_OF, PiiResults, Recall, Separation, SiteEffect
from memcirc.studies.pii.samples import Sample
from memcirc.studies.pii.site_sections import site_sections

ALIGNED, APART = Alignment((0.9, 0.8), (1.0, 0.7), {"one": -1.0}), Alignment((0.9, 0.2), (1.0, 0.7), {})


def effect(kind: str, layer: int | None, nats: float, alias: str | None = None) -> SiteEffect:
    hook = f"blocks.{layer}.{kind}" if layer is not None else kind
    return SiteEffect(hook, kind, layer, nats, nats - 1, nats + 1, nats / 8, 0.5, alias)


EFFECTS = [
    effect("embed", None, 0.5), effect("resid_pre", 0, 0.5, "embed"), effect("attn_out", 0, -3.0),
    effect("mlp_out", 0, 1.0), effect("resid_post", 0, 2.0), effect("attn_out", 1, 1.0), effect("mlp_out", 1, 2.0),
    effect("resid_post", 1, 6.0),
]  # fmt: skip


@pytest.fixture
def results() -> PiiResults:
    """Two blocks of two heads; a recitation that rises with the copies; the gap between the models is 8 nats."""
    none: dict[str, Any] = {}
    sweep = Sweep(pa.table({}), *[none] * 4, (), (), (), (), "denoise", (), 1e-7)
    parts = {"embed": np.array(1.0), "heads": np.ones((2, 2)), "mlps": np.ones(2), "biases": np.array(0.5)}
    return PiiResults(
        samples=[],
        analysed=[Sample("Ann is", " 12", (1,), (2, 3), copies=20)],
        recall=[
            Recall("target", "copies 1", 4, 0, -9.0), Recall("target", "type id", 4, 2, -3.0),
            Recall("target", "copies 20", 4, 3, -1.0), Recall("target", "all injected", 8, 3, -5.0),
            Recall("control", "all injected", 8, 0, -13.0),
        ],
        alignment=ALIGNED,
        sweeps={INTO: sweep},
        effects={INTO: EFFECTS, OUT_OF: [replace(e, effect=-e.effect) for e in EFFECTS]},
        token_effects={"blocks.0.hook_attn_out": [1.0, 2.0], "blocks.0.attn.hook_q": [9.0, 9.0]},
        ends={"control": -10.0, "target": -2.0},
        heads=np.zeros((2, 2, 2)),
        patterns={"a head": np.eye(3)},
        pattern_tokens=["a", "b", "c"],
        direct={"target": parts, "control": {name: np.asarray(value / 2) for name, value in parts.items()}},
        paths={"a0 → logits": 1.5},
        path_matrix=np.eye(2),
        path_nodes=["input", "a0"],
        restored=Restored(("m0", "a1"), 5.6, (3.0, 5.0, 5.7), ("m0", "m1", "a1"), True),
        restored_goal=5.4,
        pairs=[PairEffect("a", "b", 1.0, 2.0, 5.0)],
        copies={"10": [1.0, 2.0, 3.0], "20": [2.0, 4.0, 6.0]},
        separation=None,
        variants=[],
        generations=[],
        agreement=1.0,
        misaligned=None,
        misaligned_effects=[],
    )  # fmt: skip


def rows(section: Section, number: int = 0) -> list[dict[str, Any]]:
    return [dict(row) for row in section.tables[number].rows]


def test_findings_say_the_numbers_and_whether_they_meet_their_thresholds(results: PiiResults) -> None:
    told = {finding.text.split(":")[0].split(",")[0]: finding for finding in _findings(results)}
    assert [finding.holds for finding in told.values()] == [True, None, True, True, True, True]
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
        ({"misaligned": APART, "misaligned_effects": [effect("resid_post", 1, -9.0)]}, 6, True),
        ({"misaligned": ALIGNED, "misaligned_effects": [effect("resid_post", 1, -9.0)]}, 6, False),
        ({"misaligned": APART, "misaligned_effects": [effect("resid_post", 1, 0.5)]}, 6, False),
    ],
)
def test_a_threshold_is_missed_where_it_should_be(
    changes: dict[str, Any], number: int, holds: bool | None, results: PiiResults
) -> None:
    assert _findings(replace(results, **changes))[number].holds is holds


def test_samples_that_do_not_say_their_copies_have_no_finding_on_them(results: PiiResults) -> None:
    without = replace(results, recall=[r for r in results.recall if not r.group.startswith("copies")])
    assert len(_findings(without)) == len(_findings(results)) - 1


def test_sites_are_ranked_by_size_aliases_left_out(results: PiiResults, tmp_path: Path) -> None:
    sites, components, tokens, suppression, _ = site_sections(tmp_path, results)
    assert sites.title == "Every site (8, of which 7 distinct)"
    assert [row["effect"] for row in rows(sites)] == [6.0, -3.0, 2.0, 2.0, 1.0, 1.0, 0.5]
    assert [row["same as"] for row in rows(sites, 1)] == [None, "embed", *[None] * 6]
    by_component, by_layer = rows(components), rows(components, 1)
    assert {row["group"]: row["mean"] for row in by_component} == {
        "embed": 0.5, "attn_out": -1.0, "mlp_out": 1.5, "resid_post": 4.0
    }  # fmt: skip
    assert by_layer == [
        {"group": "layer 0", "mean": -1.0, "highest": 1.0, "lowest": -3.0, "count": 2},
        {"group": "layer 1", "mean": 1.5, "highest": 2.0, "lowest": 1.0, "count": 2},
    ]
    assert [row["effect"] for row in rows(suppression)][:2] == [-6.0, -2.0]
    assert "same as" not in rows(suppression)[0]
    assert "blocks.0.hook_attn_out" in tokens.drawings[0].svg
    assert "hook_q" not in tokens.drawings[0].svg


def test_sets_and_copies_by_hand(results: PiiResults, tmp_path: Path) -> None:
    paths, sets, copies = part_sections(tmp_path, results)
    assert rows(paths) == [{"path": "a0 → logits", "effect": 1.5}]
    assert rows(sets) == [
        {"step": 1, "added": "m0", "effect": 3.0}, {"step": 2, "added": "m1", "effect": 5.0},
        {"step": 3, "added": "a1", "effect": 5.7},
    ]  # fmt: skip
    assert rows(sets, 1)[0]["interaction"] == 2.0
    assert "correlation 1.000, mean effect +2.00 and +4.00 nats" in copies.text[0]
    assert rows(copies)[1] == {"copies": "20", "mean effect over sites": 4.0, "highest": 6.0}
    assert len(part_sections(tmp_path, replace(results, copies={"10": [1.0]}, pairs=[]))) == 2


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


def test_the_page_has_every_section_once_and_the_statement_last(results: PiiResults, tmp_path: Path) -> None:
    page = write_pii_page(tmp_path, results, {"seed": 3}).with_suffix(".md").read_text(encoding="utf-8")
    titles = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert len(titles) == len(set(titles))
    assert titles[-1] == "What was run"
    assert titles.index("Paths") < titles.index("Sets of components") < titles.index("Free generation")
