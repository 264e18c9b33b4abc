"""Where memory runs out, work goes on in smaller batches, says so, and finds the same."""

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.circuits.runner import circuit_runner
from memcirc.engine import fidelity, prepared, scoring
from memcirc.engine.memory import Memory
from memcirc.interop import auto_circuit
from memcirc.memorization import scores
from memcirc.memorization.scores import score
from memcirc.metrics import Metric
from memcirc.patching import engine, sides
from memcirc.patching.measuring import Measured, measure
from memcirc.patching.patches import Patch
from memcirc.patching.sides import compared
from memcirc.patching.sites import Site
from memcirc.work.fitting import Fitting, ran_out
from tests.models import random_pairs, small_model

PATCHES = [Patch((Site(kind, layer),)) for kind in ("z", "mlp_out", "resid_pre") for layer in (0, 1)]
FLOATS = ["min_gap", "logprob", "token_logprobs", "extraction_logprob"]
CPU = "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"


def test_sizes_are_halved_for_good_and_it_is_said() -> None:
    tried: list[int] = []

    def run(size: int) -> str:
        tried.append(size)
        if size > 3:
            raise RuntimeError(CPU)
        return f"in {size}"

    fitting = Fitting(64)
    with pytest.warns(UserWarning, match="no memory left for batches of") as said:
        assert fitting(run, lambda size: min(size, 14)) == "in 3"
    assert [str(each.message).rpartition(" ")[2] for each in said] == ["7", "3"]
    assert fitting(run, lambda size: size) == "in 3"
    assert tried == [64, 7, 3, 3]


def test_where_the_size_is_open_the_largest_batch_is_halved() -> None:
    tried: list[int | None] = []

    def run(size: int | None) -> int | None:
        tried.append(size)
        if size is None:
            raise MemoryError
        return size

    with pytest.warns(UserWarning, match="batches of 9; it goes on in batches of 4"):
        assert Fitting[int | None](None)(run, lambda size: size or 9) == 4
    assert tried == [None, 4]


@pytest.mark.parametrize(
    ("size", "error"), [(1, MemoryError()), (8, RuntimeError("shapes differ")), (8, KeyError("out of memory"))]
)
def test_one_alone_that_does_not_fit_and_other_errors_are_raised(size: int, error: Exception) -> None:
    tried = []

    def run(size: int) -> None:
        tried.append(size)
        raise error

    with pytest.raises(type(error)):
        Fitting(size)(run, lambda size: size)
    assert tried == [size]


def test_what_says_that_memory_is_out() -> None:
    assert all(
        map(ran_out, (MemoryError(), RuntimeError(CPU), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")))
    )
    assert not ran_out(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


@contextmanager
def no_room_beyond(n: int, module: Any, name: str, examples: Callable[..., int]) -> Iterator[None]:
    """A function that has no room for more than n examples."""
    real = getattr(module, name)

    def run(*args: Any, **kwargs: Any) -> Any:
        if examples(*args) > n:
            raise RuntimeError(CPU)
        return real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, run)
        yield


@pytest.mark.parametrize("per_example", [False, True])
def test_attribution_goes_on_in_halves_and_no_part_of_what_failed_is_counted(per_example: bool) -> None:
    model, pairs = small_model("gpt2"), random_pairs(9)
    whole, expected = (attribute(model, pairs, per_example=per_example, batch_size=n) for n in (None, 2))
    with (
        no_room_beyond(3, scoring, "backward", lambda batch, *rest: len(batch.frame)),
        pytest.warns(UserWarning, match="goes on in batches of 2"),
    ):
        found = attribute(model, pairs, per_example=per_example)
    assert torch.equal(found.values, expected.values)
    assert torch.allclose(found.values, whole.values, atol=1e-6)


@pytest.mark.parametrize("options", [{"method": "edge-pruning", "updates": 2}, {"engine": "auto-circuit"}])
def test_what_learns_from_batch_to_batch_or_divides_by_a_rule_of_its_own_is_not_halved(options: dict[str, Any]) -> None:
    module, name = (fidelity, "prepare") if "method" in options else (auto_circuit, "batches")
    with (
        no_room_beyond(0, module, name, lambda *given: 1),
        warnings.catch_warnings(record=True) as said,
        pytest.raises(RuntimeError, match="can't allocate memory"),
    ):
        attribute(small_model("gpt2"), random_pairs(9), **options)
    assert not [each for each in said if "batches of" in str(each.message)]


@pytest.mark.parametrize("metric", ["logit_diff", "sequence_logprob"])
def test_circuits_go_on_in_halves_and_what_was_kept_ready_makes_room(metric: str) -> None:
    model, pairs, memory = small_model("gpt2"), random_pairs(9, steps=3), Memory(torch.device("cpu"))
    expected = circuit_runner(model, pairs, mode="tree", batch_size=2).end_values(metric)
    runner, held = circuit_runner(model, pairs, mode="tree", memory=memory), []

    def divided(weights: object, pairs: object, size: int | None, *rest: object) -> int:
        held.append((size, memory.held > 0))
        return 0

    runner.end_values(metric)  # with room for all: batches are ready when it is lost
    masks = torch.stack([torch.zeros(runner.graph.n_edges), torch.ones(runner.graph.n_edges)]).bool()
    with (
        no_room_beyond(3, prepared, "run_plans", lambda weights, ready, *rest: len(ready.frame)),
        no_room_beyond(0, prepared, "batch_slots", divided),
        pytest.warns(UserWarning, match="goes on in batches of 2"),
    ):
        found = runner.per_pair(masks, metric)
    assert torch.equal(found, expected)
    assert held == [(4, False), (2, False)]


def test_scoring_goes_on_in_halves() -> None:
    model = small_model("gpt2")
    ids = torch.randint(0, model.d_vocab, (9, 12), generator=torch.Generator().manual_seed(0))
    expected = score(model, ids, 6, 6, batch_size=2)
    with (
        no_room_beyond(3, scores, "_scored", lambda model, passages, *rest: len(passages)),
        pytest.warns(UserWarning, match="goes on in batches of 2"),
    ):
        found = score(model, ids, 6, 6, batch_size=8)
    assert found.drop_columns(FLOATS).equals(expected.drop_columns(FLOATS))
    for name in FLOATS:
        values = [
            np.concatenate([np.atleast_1d(row) for row in table[name].to_pylist()]) for table in (found, expected)
        ]
        assert np.allclose(*values, atol=1e-5)


@pytest.mark.parametrize("full_passes", [False, True])
def test_sweeps_go_on_in_halves(full_passes: bool) -> None:
    model, pairs, done = small_model("gpt2"), random_pairs(9), list[int]()
    question = {"metrics": [Metric.parse("logit_diff")]}

    def swept() -> Measured:
        comparison, asked = compared(model, pairs, **question)
        with torch.no_grad():
            return measure(comparison, PATCHES, asked, full_passes, done.append)

    expected, _ = swept(), done.clear()
    with (
        no_room_beyond(3, sides, "run", lambda weights, prompts, *rest: len(prompts) // 2),
        pytest.warns(UserWarning, match="goes on in batches of 2$"),
    ):
        found = swept()
    assert torch.allclose(found.values, expected.values, atol=1e-9)
    assert torch.allclose(found.base, expected.base, atol=1e-9)
    assert done == [2 * len(PATCHES)] * 4 + [len(PATCHES)]


@pytest.mark.parametrize("full_passes", [False, True])
def test_a_mean_over_all_examples_is_not_taken_over_half_of_them(full_passes: bool) -> None:
    comparison, asked = compared(small_model("gpt2"), random_pairs(9), [Metric.parse("logit_diff")])
    mean = [Patch((Site("z", 0),), operation="mean")]
    with (
        no_room_beyond(3, sides, "run", lambda weights, prompts, *rest: len(prompts) // 2),
        pytest.warns(UserWarning, match="goes on in batches of 4$"),
        pytest.raises(ValueError, match="operation 'mean' over 9 prompts does not fit into memory; at most 4 do"),
    ):
        measure(comparison, mean, asked, full_passes)


def test_a_row_is_not_divided_and_fewer_examples_run_at_the_first_budget_again() -> None:
    """Room for the patches of four examples at once, if they run together."""
    comparison, asked = compared(small_model("gpt2"), random_pairs(9), [Metric.parse("logit_diff")])
    chunks: list[int] = []

    def rows_in(runs: Any, rows: Any, start: Any, members: Any) -> int:
        chunks.append(len(members))
        return len(runs.prompts)

    with torch.no_grad():
        expected = measure(comparison, PATCHES, asked)
        with (
            no_room_beyond(4, engine, "_Chunk", rows_in),
            pytest.warns(UserWarning, match="goes on in batches of"),
        ):
            found = measure(comparison, PATCHES, asked)
    assert torch.allclose(found.values, expected.values, atol=1e-9)
    assert chunks[-1] > 1


def test_patches_that_run_at_once_are_halved_by_their_tokens() -> None:
    comparison, asked = compared(small_model("gpt2"), random_pairs(9), [Metric.parse("logit_diff")])
    with torch.no_grad():
        expected = measure(comparison, PATCHES, asked)
        with (
            no_room_beyond(20, engine, "_Chunk", lambda runs, rows, start, members: len(members)),
            pytest.warns(UserWarning, match="tokens; it goes on in batches of .* tokens"),
        ):
            found = measure(comparison, PATCHES, asked)
    assert torch.allclose(found.values, expected.values, atol=1e-9)


LIMITED = """
import resource, sys, torch
from memcirc.attribution.attribute import attribute
from memcirc.pairs.record import Pair, Pairs
from tests.models import small_model

model = small_model("gpt2")
draw = torch.Generator().manual_seed(0)
ids = torch.randint(0, model.d_vocab, (64, 2, model.n_ctx), generator=draw).tolist()
pairs = Pairs(tuple(Pair(tuple(a), tuple(b), (1,), (2,)) for a, b in ids))
attribute(model, pairs[:2])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (int(sys.argv[1]) << 20),) * 2)
print(attribute(model, pairs, batch_size=64).values.abs().sum().item())
"""


def limited(megabytes: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", LIMITED, str(megabytes)], capture_output=True, text=True)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for its limit")
def test_under_a_limit_of_the_kernel_the_same_scores_come_in_smaller_batches() -> None:
    free, tight = limited(4096), limited(24)
    assert (free.returncode, tight.returncode) == (0, 0), tight.stderr
    assert "no memory left" not in free.stderr
    assert "no memory left for batches of 64; it goes on in batches of" in tight.stderr
    assert float(tight.stdout) == pytest.approx(float(free.stdout), rel=1e-5)
