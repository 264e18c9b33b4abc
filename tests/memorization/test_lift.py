"""Scores of a model beside its twin: what is added, and what is called learned."""

import numpy as np
import pytest
import torch

from memcirc.memorization.lift import MEMORIES, memory
from memcirc.memorization.scores import score
from memcirc.models import Model
from memcirc.twins import beside
from tests.models import D_VOCAB, small_model

IDS = torch.randint(0, D_VOCAB, (5, 12), generator=torch.Generator().manual_seed(2))


def pair() -> Model:
    return beside(small_model("gpt2", dtype="float32"), small_model("gpt2", dtype="float32", seed=3))


def test_a_model_beside_its_twin_is_scored_as_both_are_alone() -> None:
    model = pair()
    both = score(model, IDS, 6, 6, batch_size=2)
    alone, twin = (score(m, IDS, 6, 6, batch_size=2) for m in (model.with_twin(None), model.twin))
    assert both.select(alone.column_names).equals(alone)
    for name in ("exact", "logprob", "memorization_score", "bleu4", "prefix_match"):
        assert both[f"twin_{name}"].equals(twin[name])
    lift = np.subtract(alone["logprob"], twin["logprob"])
    np.testing.assert_allclose(both["lift"].to_numpy(), lift)
    np.testing.assert_allclose([sum(row) for row in both["token_lifts"].to_pylist()], lift, rtol=1e-4)
    np.testing.assert_allclose(
        both["counterfactual"].to_numpy(), np.subtract(alone["memorization_score"], twin["memorization_score"])
    )


@pytest.mark.parametrize("level", ["exact", "logprob", "completion"])
def test_a_level_without_a_score_has_no_difference_of_it(level: str) -> None:
    names = score(pair(), IDS, 6, 6, level=level).column_names
    assert ("lift" in names) == (level == "logprob")
    assert ("counterfactual" in names) == (level == "completion")
    assert "twin_exact" in names


def test_learned_is_what_the_model_recites_and_its_twin_does_not() -> None:
    found = memory(np.array([0.9, 0.75, 0.75, 0.74]), np.array([0.5, 0.51, 0.0, 0.0]), 0.75, 0.5)
    assert found.tolist() == [MEMORIES[0], MEMORIES[1], MEMORIES[0], MEMORIES[2]]
