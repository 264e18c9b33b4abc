"""Gradients of masks: hand-worked, AutoCircuit's, and finite differences."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from memcirc.engine import prepare
from memcirc.engine.batch import EngineBatch
from memcirc.engine.masked import forward
from memcirc.engine.masked_backward import backward
from memcirc.engine.objective import loss_gradient, objective_values
from memcirc.engine.values import Values, totals_of
from memcirc.graph import graph_of
from memcirc.interop import auto_circuit
from memcirc.interventions import ABLATIONS, RunSettings
from memcirc.metrics import DIFFERENTIABLE, Answers, Metric
from memcirc.models import Model
from memcirc.pairs.batches import batches
from memcirc.pairs.record import Pairs
from tests.decoder.families import MODELS, loaded
from tests.engine.masked_runs import LOGIT_DIFF, Masked, drawn
from tests.engine.sampling import pairwise
from tests.micro_models import m1, m2
from tests.models import ARCHITECTURES, random_pairs, small_model, small_pair


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (m1, {"input->logits": 2, "a0.h0->logits": 1, "input->a0.h0<v>": 1, "input->a0.h0<q>": 0}),
        (m2, {"input->m0": 9, "m0->logits": 6, "input->logits": 3}),
    ],
)
def test_the_micro_models_have_their_hand_worked_numbers(made: object, expected: dict[str, float]) -> None:
    model, pairs = made()  # type: ignore[operator]
    masked, names = Masked(model, pairs), graph_of(model).edges
    found = dict(zip(names, masked.gradient(torch.ones(1, len(names), dtype=torch.float64))[0].tolist(), strict=True))
    assert {name: -found[name] for name in expected} == pytest.approx(expected)


def has_its_slope(model: Model, pairs: Pairs, ablation: str, each: bool) -> None:
    masked = Masked(model, pairs, ablation)
    masks, direction = drawn(masked, len(pairs) if each else 1), drawn(masked, len(pairs) if each else 1, 2) - 0.5
    slope = masked.slope(masks, direction)
    torch.testing.assert_close((masked.gradient(masks) * direction).sum(), slope, rtol=1e-4, atol=1e-6)


SAMPLE = pairwise(ARCHITECTURES, tuple(ABLATIONS), (0, 4, 5), (False, True))


@pytest.mark.filterwarnings("ignore:.*do not share a basis")
@pytest.mark.parametrize(("architecture", "ablation", "shared", "each"), SAMPLE)
def test_gradients_are_slopes(architecture: str, ablation: str, shared: int, each: bool) -> None:
    model = small_pair(architecture) if ablation == "twin" else small_model(architecture)
    has_its_slope(model, random_pairs(3, 6 if architecture == "bidirectional" else (6, 7, 6), shared), ablation, each)


@pytest.mark.parametrize("name", MODELS)
def test_so_they_are_in_every_model_type(name: str) -> None:
    for grouped, shared in ((False, 0), (True, 4)):
        has_its_slope(loaded(name, grouped), random_pairs(3, (6, 7, 6), shared), "resample", each=grouped)


PEERS = [name for name in ARCHITECTURES if name != "llama_grouped"]


@pytest.mark.filterwarnings("ignore:.*do not share a basis")
@pytest.mark.parametrize(("architecture", "ablation"), pairwise(PEERS, ("resample", "zero", "mean-both", "twin")))
def test_gradients_are_those_of_autocircuits_mask_parameters(architecture: str, ablation: str) -> None:
    model = small_pair(architecture) if ablation == "twin" else small_model(architecture)
    pairs = random_pairs(3, 6 if architecture == "bidirectional" else (6, 7, 6), 2)
    masked = Masked(model, pairs, ablation)
    kept = drawn(masked, 1)
    peer, tools = auto_circuit._Peer(model), auto_circuit._peer_tools()
    means, settings = peer.means(ablation, pairs, None), RunSettings("tree", ablation)
    (batch,) = batches(pairs, len(pairs), model.device)
    answers = Answers.of(pairs, model.d_vocab)
    values = peer.ablation_values(settings, batch, means)
    with tools.train_mask_mode(peer.model):
        peer.set_masks(masked.graph.to_matrix(1 - kept[0]))
        with tools.patch_mode(peer.model, values.clone()):
            logits = peer.read(peer.model(batch.clean), batch)
        auto_circuit._loss(LOGIT_DIFF, logits, batch, answers, logits.detach()).backward()
    theirs = -masked.graph.from_matrix(peer.mask_gradient_matrix(masked.graph))  # their mask is 1 - k
    assert (masked.gradient(kept)[0] - theirs).abs().max() <= 1e-9 * theirs.abs().max()


def test_a_norm_centres_its_input_where_another_reader_has_none() -> None:
    model = small_model("gpt2")
    masked = Masked(model, random_pairs(3, 6, 2))
    masked.prepared = replace(masked.prepared, weights=replace(model.weights, final_norm=None))
    masks, direction = drawn(masked, 1), drawn(masked, 1, 2) - 0.5
    slope = masked.slope(masks, direction)
    torch.testing.assert_close((masked.gradient(masks) * direction).sum(), slope, rtol=1e-4, atol=1e-6)


def test_gradients_at_inputs_add_up_to_that_of_a_constant_in_every_value() -> None:
    """A vector added to all that a source's ablated edges carry moves x_d by 1 - k_sd times it."""
    model, pairs = small_model("gpt_neo"), random_pairs(3, (6, 7, 6))
    masked = Masked(model, pairs, "zero")
    masks, source = drawn(masked, 1), graph_of(model).sources.index("m0")
    tape = masked.run(masks)
    at_final = loss_gradient(masked.prepared.weights, masked.ready.frame, tape.final, LOGIT_DIFF, None)
    found = backward(masked.batch, tape, at_final, of_inputs=True)
    assert found.inputs is not None
    share = graph_of(model).to_matrix(1 - masks)[:, :, source]
    by_hand = torch.einsum("kd,kdm->m", share, found.inputs)
    vector, step = torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64), 1e-6

    def moved(size: float) -> Tensor:
        outputs = masked.ready.values.outputs
        mlp = (outputs.mlp[0] + size * vector, *outputs.mlp[1:])
        outputs = replace(outputs, mlp=mlp)
        values = Values(outputs, totals_of(masked.prepared.weights, outputs))
        final = forward(masked.batch, masked.ready.embed, values, masked.graph.to_matrix(masks)).final
        return objective_values(masked.prepared.weights, masked.ready.frame, final, LOGIT_DIFF, None).sum()

    slope = (moved(-step) - moved(step)) / (2 * step)
    torch.testing.assert_close(by_hand @ vector, slope, rtol=1e-5, atol=1e-7)


def test_half_precision_gradients_are_float32_and_near() -> None:
    pairs = random_pairs(3, 6, 3)
    exact, half = (Masked(small_model("gpt2", dtype=dtype), pairs) for dtype in ("float32", "bfloat16"))
    masks = drawn(exact, 1).float()
    found = half.gradient(masks)
    assert found.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(found, exact.gradient(masks)).item() > 0.98


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_every_objective_goes_back(name: str) -> None:
    model, pairs = small_model("llama"), random_pairs(2, 5, 2, steps=2)
    prepared = prepare(model, pairs, RunSettings("tree"), sequence=name == "sequence_logprob")
    ready, weights, graph, objective = prepared.ready(0), model.weights, graph_of(model), Metric.parse(name)
    batch = EngineBatch(weights, ready.frame, ready.prefix, prepared.workspace)
    generator = torch.Generator().manual_seed(1)
    reference = torch.randn(2, weights.d_vocab, generator=generator, dtype=torch.float64)
    masks, direction = torch.rand(2, 1, graph.n_edges, generator=generator, dtype=torch.float64)

    def value(masks: Tensor) -> Tensor:
        final = forward(batch, ready.embed, ready.values, graph.to_matrix(masks)).final
        return objective_values(weights, ready.frame, final, objective, reference).sum()

    tape = forward(batch, ready.embed, ready.values, graph.to_matrix(masks))
    at_final = loss_gradient(weights, ready.frame, tape.final, objective, reference)
    found = graph.from_matrix(backward(batch, tape, at_final).masks)
    slope = (value(masks - 1e-6 * direction) - value(masks + 1e-6 * direction)) / 2e-6
    torch.testing.assert_close((found * direction).sum(), slope, rtol=1e-4, atol=1e-6)
