"""Runs with a mask for every edge: where masks are 0 or 1 they are runs of circuits."""

from dataclasses import replace

import pytest
import torch

from memcirc.circuits.runner import circuit_runner
from memcirc.graph import graph_of
from memcirc.interventions import ABLATIONS
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from tests.decoder.families import MODELS, loaded
from tests.engine.masked_runs import Masked, drawn
from tests.engine.sampling import pairwise
from tests.micro_models import m1
from tests.models import ARCHITECTURES, random_pairs, small_model, small_pair


def test_the_first_micro_model_has_its_hand_worked_numbers() -> None:
    model, pairs = m1()
    masked, names = Masked(model, pairs), graph_of(model).edges
    for kept, expected in (((), 0), (("input->logits",), 2), (("input->a0.h0<v>", "a0.h0->logits"), 1), (names, 3)):
        masks = torch.tensor([[float(name in kept) for name in names]], dtype=torch.float64)
        assert float(masked.objective(masks)) == pytest.approx(expected)


def is_a_circuit(model: Model, pairs: Pairs, ablation: str, each: bool) -> None:
    masked = Masked(model, pairs, ablation)
    kept = drawn(masked, len(pairs) if each else 1) < 0.7
    circuits = circuit_runner(model, pairs, mode="tree", ablation=ablation).logits(kept)
    expected = circuits.diagonal(dim1=0, dim2=1).T if each else circuits[0]
    torch.testing.assert_close(masked.logits(kept.double()), expected)


SAMPLE = pairwise(ARCHITECTURES, tuple(ABLATIONS), (0, 4, 5), (False, True))


@pytest.mark.filterwarnings("ignore:.*do not share a basis")
@pytest.mark.parametrize(("architecture", "ablation", "shared", "each"), SAMPLE)
def test_masks_of_0_and_1_are_circuits(architecture: str, ablation: str, shared: int, each: bool) -> None:
    model = small_pair(architecture) if ablation == "twin" else small_model(architecture)
    is_a_circuit(model, random_pairs(3, 6 if architecture == "bidirectional" else (6, 7, 6), shared), ablation, each)


@pytest.mark.parametrize("name", MODELS)
def test_so_they_are_in_every_model_type(name: str) -> None:
    for grouped, shared in ((False, 0), (True, 4)):
        is_a_circuit(loaded(name, grouped), random_pairs(3, (6, 7, 6), shared), "resample", each=grouped)


def test_where_logits_have_no_norm_the_mean_of_the_stream_stays() -> None:
    model = small_model("gpt2")
    masked = Masked(model, random_pairs(3, 6, 2))
    masked.prepared = replace(masked.prepared, weights=replace(model.weights, final_norm=None))
    kept = drawn(masked, 1) < 0.7
    torch.testing.assert_close(masked.logits(kept.double()), masked.prepared.logits(kept)[0])
