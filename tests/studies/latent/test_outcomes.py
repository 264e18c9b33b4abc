"""Shares of answers that switch, by hand: two patches on four pairs."""

import numpy as np
import pytest
import torch

from memcirc.patching.program_runs import ProgramRun, run_program
from memcirc.patching.programs import identity
from memcirc.patching.sites import Site
from memcirc.statistics import wilson
from memcirc.studies.latent.outcomes import (
    COMPONENTS,
    Judged,
    Outcome,
    Target,
    cells_of,
    judged_pairs,
    outcome_of,
    recovery,
    sample_size,
    says,
    table_of,
    targets_of,
)
from memcirc.studies.latent.task import LatentTask
from tests.models import small_model

TARGETS = [Target("latent_in", None, 0, Site("resid_pre", 0, (3,))), Target("z", 1, 2, Site("z", 1, (5,)))]
JUDGED = Judged(
    torch.zeros(4, 1, dtype=torch.int64), torch.tensor([True, True, False, True]), torch.tensor([0, 1, 1, 1]),
    {"clean right, corrupt wrong": 3},
)  # fmt: skip
OUTCOME = Outcome(
    "propagate", torch.tensor([[True, False, True, False], [True, True, True, False]]),
    torch.tensor([[False, True, False, False], [False, False, False, False]]),
    torch.arange(8.0, dtype=torch.float64).view(2, 4),
)  # fmt: skip


def test_a_cell_counts_usable_pairs_by_what_becomes_of_them() -> None:
    first, second = cells_of(OUTCOME, TARGETS, JUDGED.usable, 0.05)
    assert (first.component, first.layer, first.step, first.policy) == ("latent_in", None, 0, "propagate")
    assert (first.n, first.switched, first.stayed, first.third) == (3, 1, 1, 1)
    assert (second.switched, second.stayed, second.third) == (2, 0, 1)
    assert (second.low, second.high) == wilson(2, 3)
    assert second.recovery == pytest.approx(2 / 3)
    assert second.needed == sample_size(2 / 3, 0.05)


def test_recovery_is_by_group() -> None:
    np.testing.assert_allclose(recovery(OUTCOME, JUDGED, [0, 1]), [[1.0, 1.0], [0.0, 0.5]])
    np.testing.assert_allclose(recovery(OUTCOME, JUDGED, [1]), [[1.0], [0.5]])


def test_the_table_has_a_row_a_patch_and_pair() -> None:
    rows = table_of(OUTCOME, TARGETS, JUDGED).to_pylist()
    assert len(rows) == 8
    assert rows[5] == {
        "policy": "propagate", "component": "z", "layer": 1, "step": 2, "example": 1, "group": 1, "usable": True,
        "switched": True, "stayed": False, "answer_logprob": 5.0,
    }  # fmt: skip
    assert rows[2]["layer"] is None
    assert rows[2]["usable"] is False


def test_an_answer_is_given_where_all_its_tokens_are() -> None:
    generated = torch.tensor([[[1, 2], [3, 4]], [[1, 9], [3, 4]]])
    assert says(generated, torch.tensor([[1, 2], [3, 5]])).tolist() == [[True, False], [False, False]]
    assert says(generated[1], torch.tensor([[1, 9], [3, 4]])).tolist() == [True, True]


def task(answers: list[list[int]]) -> LatentTask:
    clean, corrupt = torch.randint(0, 31, (2, 6, 4), generator=torch.Generator().manual_seed(0)).tolist()
    return LatentTask(small_model("gpt2"), identity, 2, clean, corrupt, (1,), answers, answers)


def runs(given: LatentTask) -> tuple[ProgramRun, ProgramRun]:
    weights = given.model.weights
    base, source = (run_program(weights, given.program(ids), ["z"]) for ids in (given.corrupt, given.clean))
    return base, source


def test_pairs_are_judged_by_both_of_their_questions() -> None:
    """Answers are what the model says on clean questions, but for one that it does not say."""
    base, source = runs(task([[0]] * 6))
    answers = source.generated.tolist()
    answers[0] = [(answers[0][0] + 1) % 31]
    judged = judged_pairs(task(answers), base, source)
    right = [True, *(base.generated[1:] == source.generated[1:])[:, 0].tolist()]
    right[0] = base.generated[0].tolist() == answers[0]
    assert judged.usable.tolist() == [False, *(not same for same in right[1:])]
    assert sum(judged.partition.values()) == 6
    assert judged.partition["clean right, corrupt wrong"] == int(judged.usable.sum())
    assert judged.groups.tolist() == [0] * 6
    with pytest.raises(ValueError, match=r"of 6 pairs none is answered right .* nothing can be recovered"):
        judged_pairs(task(base.generated.tolist()), base, base)


def test_everything_is_patched_at_every_step_and_the_fed_vector_of_the_last_gives_the_clean_answer() -> None:
    given = task([[0]] * 6)
    targets = targets_of(given, given.program(given.corrupt))
    layers = given.model.hooked.cfg.n_layers
    assert len(targets) == 2 * (1 + layers * len(COMPONENTS))
    assert [target.name for target in targets[:3]] == ["latent_in", "latent_in", "resid_pre 0"]
    assert set(COMPONENTS).isdisjoint({"rot_q", "rot_k", "attn_scores", "mlp_pre"})
    base, source = runs(given)
    judged = Judged(source.generated, torch.ones(6, dtype=torch.bool), torch.zeros(6, dtype=torch.int64), {})
    found = outcome_of(base, base, targets[:2], "propagate", judged)
    same = (base.generated == source.generated).all(-1)
    assert torch.equal(found.switched, same.expand(2, -1))  # a run written into itself is that run
    assert torch.equal(found.stayed, ~same.expand(2, -1))
    expected = base.logits.double().log_softmax(-1).gather(1, source.generated[:, :1])[:, 0]
    torch.testing.assert_close(found.logprob, expected.expand(2, -1))


@pytest.mark.parametrize(("share", "half"), [(0.5, 0.05), (0.1, 0.02), (0.0, 0.05), (1.0, 0.1)])
def test_the_sample_size_is_the_smallest_that_is_precise_enough(share: float, half: float) -> None:
    n = sample_size(share, half)
    z = 1.959964
    widths = [
        z * np.sqrt(share * (1 - share) / m + z * z / (4 * m * m)) / (1 + z * z / m) for m in (n, n - 1)
    ]  # fmt: skip
    assert widths[0] <= half < widths[1]
    low, high = wilson(round(share * n), n)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
