"""What is recited, by group, from changed prompts and under a patch."""

from dataclasses import replace

import pytest

from memcirc.patching.restoring import Restored
from memcirc.studies.pii.recitation import VARIANTS, generations, recall, variants
from memcirc.studies.pii.samples import OTHERS
from memcirc.studies.pii.two_models import TwoModels


def test_groups_by_hand(two: TwoModels) -> None:
    """Five samples are injected, of 10 and 20 copies in turn; three are people in no corpus."""
    exact, logprob = two.recites(two.control, two.samples)
    found = {(r.model, r.group): r for r in recall(two)}
    assert {key: r.n for key, r in found.items() if key[0] == "target"} == {
        ("target", "copies 10"): 3, ("target", "copies 20"): 2, ("target", "type words"): 5,
        ("target", "all injected"): 5, ("target", OTHERS): 3,
    }  # fmt: skip
    assert found["target", "all injected"].exact == 5
    assert found["control", "copies 20"].exact == exact[[1, 3]].sum()
    assert found["control", "copies 10"].mean_logprob == pytest.approx(logprob[[0, 2, 4]].mean())
    assert found["control", OTHERS].mean_logprob == pytest.approx(logprob[5:].mean())


def test_a_prompt_as_it_is_gives_every_answer(two: TwoModels) -> None:
    rows = variants(two, two.samples)
    assert [row["prompt"] for row in rows] == list(VARIANTS)
    assert [row["of"] for row in rows] == [8] * 4
    assert rows[0]["recited"] == 8
    assert rows[0]["first answer"].startswith(two.samples[0].answer.strip())


def test_a_patch_that_is_the_whole_target_writes_what_the_target_writes(two: TwoModels) -> None:
    """Between models of one unembedding, the last residual is everything."""
    shared = replace(two, control=two.target)
    restored = Restored(("blocks.1.hook_resid_post",), 1.0, (1.0,), ("blocks.1.hook_resid_post",), True)
    rows, agreement = generations(shared, two.samples[:2], restored, 3)
    assert agreement == 1.0
    assert [row["control, patched"] for row in rows] == [sample.answer.strip() for sample in two.samples[:2]]
    assert {row["target"] == row["truth"] for row in rows} == {True}
