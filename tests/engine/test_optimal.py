"""Learned constants: their gradient by finite differences, what they lower, what they leave as it is."""

from dataclasses import replace
from unittest import mock

import pytest
import torch

from memcirc.circuits.runner import circuit_runner
from memcirc.decoder.workspace import Workspace
from memcirc.engine import optimal
from memcirc.engine.ablation import mean_outputs, means_of
from memcirc.engine.batch import EngineBatch
from memcirc.engine.frame import frames
from memcirc.engine.values import Means, embedding
from memcirc.graph import graph_of
from memcirc.interventions import ABLATIONS
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from tests.decoder.families import MODELS, loaded
from tests.models import random_pairs, small_model

OPTIMAL = ABLATIONS["optimal"]
PAIRS = random_pairs(6, (5, 6), 2)


def means(model: Model, pairs: Pairs = PAIRS) -> Means:
    with torch.no_grad():
        return mean_outputs(model.weights, pairs, OPTIMAL, False, Workspace(model.device))


def constants(model: Model, pairs: Pairs = PAIRS) -> Means:
    with torch.no_grad():
        return means_of(model.weights, pairs, OPTIMAL, False, Workspace(model.device))


def has_its_slope(model: Model) -> None:
    weights, graph, generator = model.weights, graph_of(model), torch.Generator().manual_seed(1)
    (frame,) = frames(weights, PAIRS, None, share_prefix=False, sequence=False)
    batch, embed = EngineBatch(weights, frame, None, Workspace(weights.device)), embedding(weights, frame, "corrupt")
    kept = graph.to_matrix(optimal.circuits(len(frame), graph.n_edges, generator).double())
    start = means(model)
    row = optimal.flat(start)
    direction = torch.randn(row.shape, generator=generator, dtype=torch.float64)

    def loss(step: float) -> float:
        return float(optimal.slope(batch, embed, optimal.unflat(row + step * direction, start), kept)[0])

    with torch.no_grad():
        gradient = optimal.flat(optimal.slope(batch, embed, start, kept)[1])
        assert float(gradient @ direction) == pytest.approx((loss(1e-6) - loss(-1e-6)) / 2e-6, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neo", "llama_grouped", "attention_only"])
def test_the_gradient_at_the_constants_is_the_slope(name: str) -> None:
    has_its_slope(small_model(name))


@pytest.mark.parametrize("name", MODELS)
def test_so_it_is_in_every_model_type(name: str) -> None:
    has_its_slope(loaded(name))


def test_random_circuits_are_nearer_to_the_model_than_under_the_means() -> None:
    model, generator = small_model("gpt2"), torch.Generator().manual_seed(5)
    kept = optimal.circuits(40, graph_of(model).n_edges, generator).bool()
    nearer = [
        circuit_runner(model, PAIRS, mode="tree", ablation=ablation).per_pair(kept, "kl").mean()
        for ablation in ("mean-all", "optimal")
    ]
    assert nearer[1] < 0.9 * nearer[0]


@pytest.mark.parametrize("mode", ["tree", "edge"])
@pytest.mark.parametrize("reverse", [False, True])
def test_where_no_edge_is_ablated_the_model_is_itself(mode: str, reverse: bool) -> None:
    model = small_model("gpt_neo")
    runner = circuit_runner(model, PAIRS, mode=mode, reverse=reverse, ablation="optimal")
    nothing_ablated = torch.full((1, graph_of(model).n_edges), mode == "tree")
    prompts = [pair.clean_ids if (mode == "tree") != reverse else pair.corrupt_ids for pair in PAIRS]
    expected = torch.stack([model.logits([ids])[0, -1] for ids in prompts])
    torch.testing.assert_close(runner.logits(nothing_ablated)[0], expected)


def test_constants_are_those_of_their_reference_alone() -> None:
    model = small_model("gpt2")
    first, again = (optimal.flat(constants(model)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, optimal.flat(constants(model, PAIRS[:3])))
    assert not torch.equal(first, optimal.flat(means(model)))
    assert constants(model).constant


def test_they_are_the_peers_too() -> None:
    model = small_model("gpt2")
    kept = optimal.circuits(4, graph_of(model).n_edges, torch.Generator().manual_seed(0)).bool()
    native, peer = (
        circuit_runner(model, PAIRS, mode="tree", ablation="optimal", engine=engine).logits(kept)
        for engine in ("native", "auto-circuit")
    )
    torch.testing.assert_close(native, peer)


def test_a_row_of_numbers_and_the_constants_are_the_same() -> None:
    start = means(small_model("llama"))
    found = optimal.unflat(optimal.flat(start), start)
    for ours, theirs in zip((found.embed, *found.z, *found.mlp), (start.embed, *start.z, *start.mlp), strict=True):
        assert torch.equal(ours, theirs)


def test_a_loss_that_is_no_number_is_said() -> None:
    def broken(*given: object) -> tuple[torch.Tensor, Means]:
        return torch.tensor(torch.nan), replace(means(small_model("gpt2")))

    with (
        mock.patch.object(optimal, "slope", broken),
        pytest.raises(ValueError, match="ablation 'optimal': the loss of step 1 of 100 is nan"),
    ):
        constants(small_model("gpt2"))
