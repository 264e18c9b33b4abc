"""What several artifacts of a run state of one thing: a change that agrees with its marker is found by the others."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memcirc.pairs.record import Pairs, TooFewPairs
from memcirc.run import consistency
from memcirc.run.auditing import audit
from memcirc.run.consistency import leaks
from memcirc.run.reading import Run
from tests.models import random_pairs
from tests.run.forging import forged, found


def test_another_word_on_the_corpus_than_that_of_the_windows_is_found(copy: Path) -> None:
    def change(content: Any) -> None:
        content["distinct"] += 1
        del content["licence_note"]
        content["seen"] = 7

    forged(path := copy / "windows" / "stats.json", change)
    told = f"{path}: {{}} is not what the windows' own file says"
    assert found(copy)["windows"] == tuple(told.format(key) for key in ("distinct", "licence_note", "seen"))


def test_windows_without_a_marker_are_a_finding_where_something_was_made_from_them(copy: Path) -> None:
    (copy / "windows" / "done.json").unlink()
    (told,) = found(copy)["windows"]
    assert told == f"{copy / 'windows'}: the stage has no marker, and later ones were made from it"
    (copy / "score" / "done.json").unlink()
    assert audit(copy, share=0.0)["windows"].remark == "pairs were given, no windows were cut"


def test_a_faithfulness_that_its_ends_do_not_give_is_found_without_a_model(copy: Path) -> None:
    def change(content: Any) -> None:
        content["cells"][0]["faithfulness"] += 0.01

    forged(copy / "transfer" / "transfer.json", change)
    (line,) = found(copy)["arithmetic"]
    assert "transfer: tree, resample, noising: faithfulness 0.9" in line


def change_first_edge(content: Any) -> None:
    next(edge for edge in content["edges"].values() if edge["in_graph"])["in_graph"] = False


def change_first_score(content: Any) -> None:
    next(iter(content["edges"].values()))["score"] += 0.5


def swap_edges(content: Any) -> None:
    change_first_edge(content)
    next(edge for edge in content["edges"].values() if not edge["in_graph"] and abs(edge["score"]) < 0.01)[
        "in_graph"
    ] = True


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_first_edge, "states 39 edges, it has 38"),
        (change_first_score, "its scores are not those of branch/discover/edge_scores.safetensors"),
        (swap_edges, "not the first 39 edges of its scores by abs"),
    ],
)
def test_a_circuit_that_is_not_its_scores_is_found(copy: Path, change: Callable[[Any], None], told: str) -> None:
    path = copy / "branch" / "discover" / "circuit.json"
    size = json.loads(path.read_text())["memcirc"]["n_edges"]
    forged(path, change)
    assert told.replace("39", str(size)).replace("38", str(size - 1)) in " ".join(found(copy)["circuits"])


def test_circuits_and_verifications_of_other_pairs_are_found(copy: Path) -> None:
    forged(copy / "branch" / "pairs" / "pairs.json", lambda content: content["prompts"].reverse())
    told = " ".join(found(copy)["splits"])
    for what in (
        "edge scores, on train",
        "circuit tree, on train",
        "size of circuit edge, on validation",
        "verify, on",
    ):
        assert what in told, what


def test_a_family_that_two_splits_share_is_found_although_the_pairs_do_not_say_so(copy: Path) -> None:
    """Somebody has taken the families out of the pairs: splits are drawn that put siblings apart."""

    def change(content: Any) -> None:
        for prompt in content["prompts"]:
            prompt.pop("family", None)
            prompt.pop("divergence", None)
            prompt.pop("corrupt_doc_id", None)

    forged(copy / "branch" / "pairs" / "pairs.json", change)
    assert any("branch: family " in line for line in found(copy)["leakage"])


def test_a_task_of_too_few_pairs_has_no_splits_and_the_others_are_checked(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, split = audit(copy, share=0.0)["leakage"], Run.splits

    def splits(run: Run, task: str) -> tuple[Pairs, ...]:
        if task == "memorization":
            raise TooFewPairs("2 groups of pairs; 3 are needed")
        return split(run, task)

    monkeypatch.setattr(Run, "splits", splits)
    monkeypatch.setattr(consistency, "cells_of", lambda run: ())
    left = audit(copy, share=0.0)["leakage"]
    assert left.findings == ()
    assert left.remark == "memorization has no splits: 2 groups of pairs; 3 are needed"
    assert left.number == whole.number - len(Run(copy).pairs("memorization"))


def test_leaks_of_every_kind_are_named() -> None:
    pairs = [replace(pair, doc_id=f"d{i}") for i, pair in enumerate(random_pairs(8, seed=1))]
    apart = [Pairs(tuple(pairs[i : i + 2])) for i in (0, 2, 4)]
    assert not leaks(apart, {"d0": "a", "d1": "a", "d2": ""})
    assert leaks(apart, {"d0": "a", "d2": "a"}) == ["family a is in train and validation"]
    same_document = Pairs((replace(pairs[6], doc_id="d1"), pairs[7]))
    assert leaks([*apart[:2], same_document], {}) == ["doc d1 is in test and train"]
    (prompt,) = {line.split()[0] for line in leaks([apart[0], apart[1], Pairs((replace(pairs[0], doc_id="x"),))], {})}
    assert prompt == "prompt"
