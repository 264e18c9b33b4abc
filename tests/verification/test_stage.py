"""The stage's work list: what is on it, who does it, and what comes of it."""

import pytest

from memcirc.attribution.attribute import attribute
from memcirc.circuit import Circuit
from memcirc.verification.config import VerifyConfig
from memcirc.verification.drawing import KINDS
from memcirc.verification.stage import Material, WorkList, verify_circuits, worker
from memcirc.verification.subject import Outline, Subject
from memcirc.verification.verify import subject_of
from tests.models import random_pairs, small_model

CONFIG = VerifyConfig(ablation="resample", reverse="no", n_random=3, curve_points=3)


def test_each_modes_circuit_is_verified_in_its_mode() -> None:
    model, pairs = small_model("gpt2"), random_pairs(3)
    scores = attribute(model, pairs, "eap")
    work = WorkList({"tree": scores.top(30), "edge": scores.top(8)}, CONFIG)
    result = verify_circuits(work, model, Material(pairs, scores, pairs))
    assert [(row.mode, row.n_edges) for row in result.faithfulness] == [("tree", 30), ("edge", 8)]
    assert result.statement["circuits"]["edge"]["n_edges"] == 8
    assert not result.statement.keys() & {"mode", "n_edges", "origin"}


def test_jobs_are_listed_from_circuits_and_options_alone() -> None:
    circuits = {mode: Circuit.from_edges(["input->logits"]) for mode in ("tree", "edge")}
    config = VerifyConfig(checks="random,knockout", reverse="all", ablation="resample")
    jobs = WorkList(circuits, config).jobs
    random = [*(f"resample, noising, {kind} random circuits" for kind in KINDS), "random circuits"]
    assert [job.label for outline, job in jobs if outline.mode == "tree"] == [*random, "knockout", "knockout"]
    assert [outline.mode for outline, _ in jobs] == ["tree"] * 7 + ["edge"] * 7
    thorough = WorkList(circuits, VerifyConfig(checks="full")).jobs[0][0]
    assert thorough.settings.thorough
    assert not jobs[0][0].settings.thorough


def test_the_target_is_what_the_circuit_was_to_keep() -> None:
    told = {"tree": Circuit(frozenset(), {"target": 0.6}), "edge": Circuit(frozenset())}
    targets = {outline.mode: outline.settings.target for outline, _ in WorkList(told, CONFIG).jobs}
    assert targets == {"tree": 0.6, "edge": 0.85}


def test_what_the_jobs_of_a_circuit_share_is_made_once_while_they_come_in_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []

    def seen(outline: Outline, *given: object, **options: object) -> Subject:
        made.append(outline.mode)
        return subject_of(outline, *given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("memcirc.verification.stage.subject_of", seen)
    model, pairs = small_model("gpt2"), random_pairs(3)
    scores = attribute(model, pairs, "eap")
    work = WorkList({"tree": scores.top(30), "edge": scores.top(8)}, CONFIG)
    do, half = worker(work, model, Material(pairs, scores, pairs)), len(work.jobs) // 2
    for number in (2, 3, half + 2, 2):
        do(number)
    assert made == ["tree", "edge", "tree"]


def test_what_several_jobs_of_a_label_are_refused_for_is_said_once() -> None:
    model, pairs = small_model("gpt2"), random_pairs(3)
    scores, config = attribute(model, pairs, "eap"), VerifyConfig(checks="knockout", ablation="resample")
    work = WorkList({"tree": Circuit.from_edges([])}, config)
    assert len(work.jobs) == 2
    result = verify_circuits(work, model, Material(pairs, scores, pairs))
    assert result.refused == ("tree, knockout: a circuit of 0 edges cannot be knocked out",)
