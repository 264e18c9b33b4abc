"""Every model type through the engine, against a decoder written head by head and edge by edge: gradients of all edges,
circuits, padding, prefixes, decoding."""

import pytest
import torch
from torch import Tensor

from memcirc.circuits.runner import circuit_runner
from memcirc.engine.decoding import decode
from memcirc.engine.mask_gradients import mask_gradients
from memcirc.engine.prepared import prepare
from memcirc.engine.request import Request
from memcirc.interventions import RunSettings
from memcirc.models import Model
from memcirc.pairs.record import Pair, Pairs
from memcirc.twins import beside
from tests.decoder.families import GROUPED, MODELS, loaded
from tests.decoder.naive import Naive, plain
from tests.models import random_pairs

GROUPED_OR_NOT = [
    (name, grouped) for name in MODELS for grouped in (False, True) if not grouped or MODELS[name][0] in GROUPED
]


def with_twin(name: str, grouped: bool = False) -> Model:
    return beside(loaded(name, grouped), loaded(name, grouped, seed=7))


def ablation_values(model: Model, pair: Pair, ablation: str) -> Tensor:
    """[src, pos, d_model]: of the other prompt, of the twin on the same one, or nothing."""
    run = plain(model.weights, torch.tensor(pair.corrupt_ids))
    if ablation == "twin":
        assert model.twin is not None
        run = plain(model.twin.weights, torch.tensor(pair.clean_ids))
    run.run()
    outputs = torch.stack(run.outputs)
    return torch.zeros_like(outputs) if ablation == "zero" else outputs


def naive_gradients(model: Model, pair: Pair, alpha: float, ablation: str) -> Tensor:
    """dL/dm of all edges with every mask at alpha, L = -(logit of the answer - logit of the wrong answer)."""
    graph = model.weights.graph
    masks = torch.full((len(graph.destinations), len(graph.sources)), alpha, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        run = Naive(model.weights, torch.tensor(pair.clean_ids), masks, ablation_values(model, pair, ablation))
        logits = run.run()[-1]
        (gradient,) = torch.autograd.grad(logits[pair.wrong_answer_ids[0]] - logits[pair.answer_ids[0]], masks)
    return graph.from_matrix(gradient)


@pytest.mark.parametrize("name", MODELS)
def test_the_naive_decoder_has_the_models_own_logits(name: str) -> None:
    model = loaded(name)
    ids = torch.tensor(random_pairs(1, 7)[0].clean_ids)
    torch.testing.assert_close(plain(model.weights, ids).run(), model.logits(ids)[0], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(("name", "grouped"), GROUPED_OR_NOT)
@pytest.mark.parametrize(("alpha", "ablation"), [(0.0, "resample"), (0.4, "zero"), (0.3, "twin")])
def test_gradients_of_all_edges(name: str, grouped: bool, alpha: float, ablation: str) -> None:
    model, pairs = with_twin(name, grouped), random_pairs(2, (5, 7), shared=2)
    found = mask_gradients(Request(model, pairs, ablation=ablation, per_example=True), [alpha])
    expected = torch.stack([naive_gradients(model, pair, alpha, ablation) for pair in pairs])
    largest = expected.abs().max()
    torch.testing.assert_close(found / largest, expected / largest, atol=1e-9, rtol=0)


def naive_circuit(model: Model, pair: Pair, kept: Tensor, ablation: str) -> Tensor:
    """Logits at the answer position with only ``kept`` intact, in tree mode."""
    graph = model.weights.graph
    masks = graph.to_matrix((~kept).double())
    with torch.no_grad():
        values = ablation_values(model, pair, ablation)
        return Naive(model.weights, torch.tensor(pair.clean_ids), masks, values).run()[-1]


@pytest.mark.parametrize(("name", "grouped"), GROUPED_OR_NOT)
def test_circuits(name: str, grouped: bool) -> None:
    model, pairs = with_twin(name, grouped), random_pairs(2, (5, 7), shared=2)
    graph = model.weights.graph
    draw = torch.rand(4, graph.n_edges, generator=torch.Generator().manual_seed(1))
    kept = draw < torch.tensor([0.02, 0.2, 0.5, 0.97])[:, None]
    for ablation in ("resample", "zero", "twin"):
        found = prepare(model, pairs, RunSettings("tree", ablation)).logits(kept)
        expected = torch.stack([torch.stack([naive_circuit(model, p, row, ablation) for p in pairs]) for row in kept])
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("ablation", ["resample", "twin"])
def test_the_two_directions_and_modes_are_each_others_complement(name: str, ablation: str) -> None:
    model, pairs = with_twin(name), random_pairs(3, (6, 8, 4), shared=1)
    graph = model.weights.graph
    kept = torch.rand(2, graph.n_edges, generator=torch.Generator().manual_seed(2)) < 0.3
    for reverse in (False, True):
        tree = circuit_runner(model, pairs, mode="tree", ablation=ablation, reverse=reverse).logits(kept)
        edge = circuit_runner(model, pairs, mode="edge", ablation=ablation, reverse=not reverse).logits(~kept)
        torch.testing.assert_close(tree, edge, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_padding_and_prefixes_change_nothing(name: str) -> None:
    """Prompts of several lengths in one batch, with and without a shared prefix, against one at a time."""
    model, pairs = loaded(name), random_pairs(3, (9, 6, 8), shared=4)
    together = mask_gradients(Request(model, pairs, per_example=True), [0.0, 0.5])
    alone = torch.stack([mask_gradients(Request(model, Pairs((pair,))), [0.0, 0.5]) for pair in pairs])
    torch.testing.assert_close(together, alone, atol=1e-10, rtol=1e-9)
    kept = torch.rand(2, model.weights.graph.n_edges, generator=torch.Generator().manual_seed(4)) < 0.4
    settings = RunSettings("tree", "resample")
    singly = [prepare(model, Pairs((pair,)), settings).logits(kept)[:, 0] for pair in pairs]
    torch.testing.assert_close(
        prepare(model, pairs, settings).logits(kept), torch.stack(singly, dim=1), atol=1e-10, rtol=1e-9
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("ablation", ["resample", "twin"])
def test_decoding_with_a_cache_is_running_anew_after_each_token(name: str, ablation: str) -> None:
    model, pairs = with_twin(name), random_pairs(2, 5, shared=2)
    kept = torch.rand(model.weights.graph.n_edges, generator=torch.Generator().manual_seed(5)) < 0.6
    clean, corrupt = (torch.tensor([getattr(pair, ids) for pair in pairs]) for ids in ("clean_ids", "corrupt_ids"))
    found = decode(model, clean, corrupt, kept, 4, ablation)
    for step in range(4):
        said = found[:, :step]
        items = [
            Pair((*pair.clean_ids, *row), (*pair.corrupt_ids, *row), (0,), (1,))
            for pair, row in zip(pairs, said.tolist(), strict=True)
        ]
        logits = prepare(model, Pairs(tuple(items)), RunSettings("tree", ablation)).logits(kept[None])[0]
        assert logits.argmax(-1).tolist() == found[:, step].tolist()
