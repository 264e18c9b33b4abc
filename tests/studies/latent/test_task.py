"""The small task's arithmetic, and tasks through adapters."""

import random
from pathlib import Path

import pytest
import torch

from memcirc.patching.programs import Generate, Latent, Tokens, identity
from memcirc.studies.latent.task import (
    BOT,
    EOT,
    OPERATIONS,
    SPELLED,
    LatentTask,
    adapted,
    check_read,
    drawn,
    drawn_pair,
    question,
    small_task,
)
from tests.models import small_model


def test_questions_are_worked_out() -> None:
    """3, +4 = 7, 9 - 7 = 2, +0 = 2, 1 - 2 = 9, +9 = 8, 8 - 8 = 0."""
    assert question(3, [14, 29, 10, 21, 19, 28]).results == (7, 2, 2, 9, 8, 0)


@pytest.mark.parametrize("step", range(OPERATIONS))
def test_thoughts_of_a_pair_differ_from_the_step_on_and_not_before(step: int) -> None:
    clean, corrupt = drawn_pair(random.Random(step), step)
    same = [a == b for a, b in zip(clean.results, corrupt.results, strict=True)]
    assert same == [True] * step + [False] * (OPERATIONS - step)
    assert sum(a != b for a, b in zip(clean.ids, corrupt.ids, strict=True)) == 1


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ("nowhere.py:make", "no adapter file at nowhere.py"),
        ("{data}:make", "is no .py file"),
        ("{mine}:wake", "has no function 'wake'"),
        ("{mine}:number", "returned a int; a LatentTask is needed"),
    ],
)
def test_an_adapter_that_is_none_is_refused(adapter: str, message: str, tmp_path: Path) -> None:
    mine, data = tmp_path / "mine.py", tmp_path / "mine.json"
    mine.write_text("def number():\n    return 3\n")
    data.write_text("{}")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        adapted(adapter.format(mine=mine, data=data))


def test_an_adapter_may_declare_records_whose_annotations_are_text(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Mine:\n    n: int\ndef number():\n    return 3\n"
    )
    with pytest.raises(ValueError, match="returned a int"):
        adapted(f"{mine}:number")


@pytest.mark.parametrize(
    ("steps", "question", "message"),
    [
        (1, [1, 99999], r"token id 99999 is outside the vocabulary 0\.\."),
        (10**6, [1, 2], "1000002 positions are needed; the model reads at most"),
    ],
)
def test_a_task_that_its_model_cannot_read_is_refused(steps: int, question: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_read(LatentTask(small_model("gpt2"), identity, steps, [question], [[1, 2]], (), [[3]], [[4]]))


def test_a_task_without_questions_is_refused() -> None:
    with pytest.raises(ValueError, match="there are no questions"):
        LatentTask(small_model("gpt2"), identity, 1, [], [], (), [], [])


def test_ids_are_spelled_as_they_are_worked_out() -> None:
    found = question(3, [14, 29])
    assert [SPELLED[i] for i in found.ids] == ["3", "+4", "9-", "<think>"]
    assert found.ids[-1] == BOT
    assert drawn(random.Random(0)) == drawn(random.Random(0))


def test_pairs_stand_group_by_group_with_their_right_answers() -> None:
    task = small_task(small_model("gpt2"), identity, 2, seed=0)
    assert list(task.groups) == [step for step in range(OPERATIONS) for _ in range(2)]
    for clean, answer in zip(task.clean, task.answers, strict=True):
        assert question(clean[0], clean[1:-1]).results[-1] == answer[0]
    assert all(a != b for a, b in zip(task.answers, task.corrupt_answers, strict=True))


def test_a_program_has_as_many_latent_steps_as_it_is_told() -> None:
    task = small_task(small_model("gpt2"), identity, 1, seed=0)
    tokens, latent, after, generate = task.program(task.clean).segments
    assert isinstance(tokens, Tokens)
    assert torch.equal(tokens.ids, torch.tensor([list(ids) for ids in task.clean]))
    assert latent == Latent(OPERATIONS, identity)
    assert isinstance(after, Tokens)
    assert after.ids.unique().tolist() == [EOT]
    assert generate == Generate(1)
    assert len(task.program(task.clean, 0).segments) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clean": [[1, 2]]}, "questions of 1, 2 tokens; all must have the same length"),
        ({"answers": [[1, 2]]}, "answers must all have the same number of tokens"),
        ({"corrupt": [[1], [2]]}, "their numbers differ"),
    ],
)
def test_a_task_that_does_not_fit_together_is_refused(changes: dict[str, list[list[int]]], message: str) -> None:
    given = {"clean": [[1]], "corrupt": [[2]], "answers": [[3]], "corrupt_answers": [[4]], **changes}
    with pytest.raises(ValueError, match=message):
        LatentTask(small_model("gpt2"), identity, 1, after=(), **given)
