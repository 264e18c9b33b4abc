"""Public calls leave the process as it was: the model's logits, seeds, modes and defaults; also where they are
interrupted in the middle."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import memcirc
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from tests.models import random_pairs, small_model

ENGINES = ("native", "auto-circuit")


class StopAt(TorchDispatchMode):
    """Raises at the given one of torch's operations; counts them."""

    def __init__(self, number: int, error: type[BaseException]) -> None:
        super().__init__()
        self.number, self.error, self.seen = number, error, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += 1
        if self.seen == self.number:
            raise self.error("stopped")
        return func(*args, **(kwargs or {}))


def _verify(model: Model, pairs: Pairs) -> Any:
    scores = memcirc.attribute(model, pairs, "eap")
    return memcirc.verify(model, pairs, scores, mode="tree", circuit=scores.top(9), checks=("faithfulness",))


CALLS: dict[str, Callable[[Model, Pairs], Any]] = {
    "mask-ig": lambda m, p: memcirc.attribute(m, p, "mask-ig", steps=2),
    "eap-ig-inputs": lambda m, p: memcirc.attribute(m, p, "eap-ig-inputs", steps=2),
    "learned masks": lambda m, p: memcirc.attribute(m, p, "edge-pruning", updates=2),
    **{f"run {engine}": lambda m, p, engine=engine: memcirc.run_circuit(
        m, p, memcirc.Circuit.from_edges(["input->logits"]), mode="tree", engine=engine) for engine in ENGINES},
    "optimal": lambda m, p: memcirc.run_circuit(
        m, p, memcirc.Circuit.from_edges(["input->logits"]), mode="tree", ablation="optimal"),
    "find": lambda m, p: memcirc.find_minimal(m, p, memcirc.attribute(m, p, "eap"), mode="edge"),
    "verify": _verify,
    "sweep": lambda m, p: memcirc.patch_sweep(m, p, sites="resid_pre"),
    "sweep in full": lambda m, p: memcirc.patch_sweep(m, p, sites="resid_pre", full_passes=True),
}  # fmt: skip


def state() -> tuple[Any, ...]:
    """What a call could leave changed for everybody in the process. Python's own generator is left out: beartype, which
    checks annotations under pytest, draws from it."""
    kind, keys, *rest = np.random.get_state()
    return (
        torch.get_rng_state().tolist(), torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
        torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled(), torch.get_num_threads(),
        torch.get_float32_matmul_precision(), kind, np.asarray(keys).tolist(), rest,
    )  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_a_call_leaves_model_and_process_as_they_were_and_so_does_one_that_is_stopped(call: str) -> None:
    model, pairs = small_model("gpt2"), random_pairs(3, seed=2)
    ids = torch.tensor([pair.clean_ids for pair in pairs][:1])
    logits, before = model.logits(ids).clone(), state()
    flags = [(p.requires_grad, p.grad is None) for p in model.source.parameters()]
    CALLS[call](model, pairs)  # what is made once is made
    with StopAt(0, RuntimeError) as whole:
        CALLS[call](model, pairs)
    for share, error in ((0.1, KeyboardInterrupt), (0.5, RuntimeError), (0.9, KeyboardInterrupt)):
        with pytest.raises(error), StopAt(max(1, int(share * whole.seen)), error):
            CALLS[call](model, pairs)
        assert state() == before
        assert torch.equal(model.logits(ids), logits)
        assert [(p.requires_grad, p.grad is None) for p in model.source.parameters()] == flags
