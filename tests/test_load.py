"""Loads far beyond the usual: memory stays within what docs/scale.md states, in a process of its own for each."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
BOUND = 2.0
"""GB beyond the model, its pairs and what is returned, as docs/scale.md says under "What a load costs"."""
WORK = """
import json, sys, time
import torch
from transformers import GPT2Config, GPT2LMHeadModel
from memcirc.attribution.attribute import attribute
from memcirc.circuits.runner import circuit_runner
from memcirc.memorization.scores import score
from memcirc.models import load_model
from memcirc.pairs.record import Pair, Pairs
from memcirc.verification.random_circuits import per_pair_of_many

n_pairs, length, n_circuits, vocabulary = map(int, sys.argv[1:])
torch.manual_seed(0)
shape = {"n_layer": 2, "n_head": 4, "n_embd": 64, "n_positions": max(64, length)}
model = load_model(GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, **shape)).eval(), device="cpu")
drawn = torch.randint(0, vocabulary, (n_pairs, 2, length)).tolist()
pairs = Pairs(tuple(Pair(tuple(a), tuple(b), (vocabulary - 1,), (0,)) for a, b in drawn))
ids = torch.randint(0, vocabulary, (min(n_pairs, 64), length))


def status(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1]) / 1e6


open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
before, start = status("VmRSS"), time.perf_counter()
values = attribute(model, pairs, "eap").values
scored = score(model, ids, length // 2, length // 2)
runner = circuit_runner(model, pairs, mode="tree")
kept = torch.rand(n_circuits, runner.graph.n_edges, generator=torch.Generator().manual_seed(0)) < 0.1
found = per_pair_of_many(runner, kept, "logit_diff")
assert values.isfinite().all() and found.isfinite().all() and len(scored) == len(ids)
print(json.dumps({"seconds": time.perf_counter() - start, "gb": status("VmHWM") - before}))
"""
LOADS = {
    "10,000 pairs": (10_000, 16, 1, 512),
    "2,048 tokens": (4, 2_048, 1, 512),
    "1,000 circuits": (16, 16, 1_000, 512),
    "a vocabulary of 250,000": (16, 16, 4, 250_000),
}


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for the peak")
@pytest.mark.parametrize("load", LOADS)
def test_memory_stays_within_its_bound(load: str, count: Callable[[str], None]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORK, *map(str, LOADS[load])], capture_output=True, encoding="utf-8",
        cwd=Path(__file__).parents[1], check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    count(f"load, {load}: {told['seconds']:.0f} s, {told['gb']:.2f} GB at the peak")
    assert told["gb"] < BOUND
