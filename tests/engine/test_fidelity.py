"""The loss of masked runs: 0 for the model itself, 1 with nothing left, and its gradient."""

import pytest
import torch

from memcirc.circuits.runner import circuit_runner
from memcirc.engine import Request
from memcirc.engine.fidelity import Fidelity
from memcirc.graph import graph_of
from tests.models import random_pairs, small_model, small_pair


def ends() -> torch.Tensor:
    n_edges = graph_of(small_model("gpt2")).n_edges
    return torch.stack([torch.zeros(n_edges), torch.ones(n_edges)]).double()


@pytest.mark.filterwarnings("ignore:.*do not share a basis")
@pytest.mark.parametrize("ablation", ["resample", "zero", "mean-both", "twin"])
@pytest.mark.parametrize("objective", ["logit_diff", "neg_logit_diff", "kl", "neg_kl", "sequence_logprob"])
def test_the_loss_is_0_of_the_model_and_1_of_what_is_left_without_it(ablation: str, objective: str) -> None:
    model = small_pair("gpt2") if ablation == "twin" else small_model("gpt2")
    pairs = random_pairs(5, (6, 7), 3, steps=2)
    reference = random_pairs(4, 9) if ablation == "mean-both" and objective == "sequence_logprob" else None
    fidelity = Fidelity(Request(model, pairs, objective, ablation, reference), batch_size=2)
    assert sum(fidelity.size(i) for i in range(fidelity.n_batches)) == 5
    for masks, expected in zip(ends(), (1, 0), strict=True):
        losses = [fidelity.slope(i, masks[None])[0] * fidelity.size(i) for i in range(fidelity.n_batches)]
        assert sum(losses) / 5 == pytest.approx(expected, abs=1e-12)


def test_the_loss_is_the_squared_difference_of_objectives() -> None:
    model, pairs = small_model("llama"), random_pairs(3, 6, 2)
    runner, kept = circuit_runner(model, pairs, mode="tree"), torch.rand(graph_of(model).n_edges) < 0.8
    nothing, everything = runner.end_values().double()
    expected = (runner.per_pair(kept[None])[0] - everything).square().mean() / (nothing - everything).square().mean()
    found, _ = Fidelity(Request(model, pairs), batch_size=3).slope(0, kept.double()[None])
    assert found == pytest.approx(float(expected))


@pytest.mark.parametrize("each", [False, True])
def test_its_gradient_is_its_slope(each: bool) -> None:
    model, pairs = small_model("gpt_neo"), random_pairs(3, 6, 2)
    fidelity, generator = Fidelity(Request(model, pairs, "kl"), batch_size=3), torch.Generator().manual_seed(0)
    size = 2, 3 if each else 1, graph_of(model).n_edges
    masks, direction = torch.rand(size, generator=generator, dtype=torch.float64)
    _, gradient = fidelity.slope(0, masks)
    after, before = (fidelity.slope(0, masks + step * direction)[0] for step in (1e-6, -1e-6))
    assert float((gradient * direction).sum()) == pytest.approx((after - before) / 2e-6, rel=1e-4)


def test_an_objective_without_ends_is_refused() -> None:
    model, pairs = small_model("gpt2"), random_pairs(2, 6)
    with torch.no_grad():
        model.hf.lm_head.weight.zero_()  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="'logit_diff' is the same with no edge at work as with all"):
        Fidelity(Request(model, pairs), batch_size=2)
