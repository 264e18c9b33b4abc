"""The engine on every accelerator that this machine has: what the CPU gives, within what float32 rounds."""

from collections.abc import Callable

import pytest
import torch

import memcirc
from memcirc.attribution.attribute import attribute
from memcirc.circuits.runner import circuit_runner
from memcirc.memorization.scores import score
from memcirc.models import Model
from memcirc.patching.sweep import patch_sweep
from tests.models import ARCHITECTURES, random_pairs, small_model

FOUND = [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["none"]
pytestmark = pytest.mark.skipif(FOUND == ["none"], reason="this machine has no CUDA device")
EVERY = pytest.mark.parametrize(("arch", "device"), [(arch, device) for device in FOUND for arch in ARCHITECTURES])


def on(device: str, model: Model) -> Model:
    return memcirc.load_model(model.source, device=device, dtype="float32")


def both(arch: str, device: str, measure: Callable[[Model], torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """What is measured of one model on the CPU and on a device, in float64."""
    there, here = (measure(on(where, small_model(arch))).cpu().double() for where in (device, "cpu"))
    return there, here


@EVERY
@pytest.mark.parametrize("method", ["eap", "mask-ig", "exact", "edge-pruning"])
def test_scores_of_edges(arch: str, device: str, method: str) -> None:
    pairs = random_pairs(3, (5, 6, 6), shared=2)
    options = {"updates": 2} if method == "edge-pruning" else {}
    found, expected = both(arch, device, lambda model: attribute(model, pairs, method, **options).values)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


@EVERY
@pytest.mark.parametrize("mode", ["tree", "edge"])
def test_circuits(arch: str, device: str, mode: str) -> None:
    pairs = random_pairs(3, (5, 6, 6), shared=2)

    def measure(model: Model) -> torch.Tensor:
        runner = circuit_runner(model, pairs, mode=mode)
        kept = torch.rand(4, runner.graph.n_edges, generator=torch.Generator().manual_seed(0)) < 0.3
        return torch.cat([runner.per_pair(kept, metric) for metric in ("logit_diff", "kl")])

    torch.testing.assert_close(*both(arch, device, measure), atol=1e-4, rtol=1e-3)


@EVERY
def test_sweeps(arch: str, device: str) -> None:
    pairs = random_pairs(3, 6, shared=2)

    def measure(model: Model) -> torch.Tensor:
        sweep = patch_sweep(model, pairs, sites="head_all_pos_every", normalize=False)
        return torch.as_tensor(sweep.matrix("logit_diff"))

    torch.testing.assert_close(*both(arch, device, measure), atol=1e-4, rtol=1e-3, equal_nan=True)


@EVERY
def test_scores_of_passages(arch: str, device: str) -> None:
    ids = torch.randint(0, 31, (5, 12), generator=torch.Generator().manual_seed(0))
    found, expected = (score(on(where, small_model(arch)), ids, 6, 6) for where in (device, "cpu"))
    assert found["prefix_match"] == expected["prefix_match"]
    assert found["logprob"].to_pylist() == pytest.approx(expected["logprob"].to_pylist(), rel=1e-4)
