"""PathPatching against TransformerLens with split inputs: one edge replaced after the other."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from memcirc.metrics import Metric
from memcirc.models import Model
from memcirc.patching.paths import LOGITS, PathPatching
from memcirc.patching.sides import compared
from tests.micro_models import m2
from tests.models import small_model
from tests.patching.test_sweep import as_pairs, prompts


def paths(model: Model, data: tuple[Tensor, ...]) -> PathPatching:
    return PathPatching(*compared(model, as_pairs(*data), [Metric.parse("logit_diff")]))


def literal(model: Model, data: tuple[Tensor, ...], path: list[str]) -> Tensor:
    """A pass a node: its input changed through the hook of its own input, its output read."""
    hooked = copy.deepcopy(model.hooked)
    hooked.cfg.use_split_qkv_input = hooked.cfg.use_hook_mlp_in = True
    clean, corrupt, answer, wrong = data

    def output(node: str) -> str:
        return (
            "blocks.0.hook_resid_pre"
            if node == "input"
            else f"blocks.{node[1:]}.hook_{'attn' if node[0] == 'a' else 'mlp'}_out"
        )

    def inputs(node: str) -> list[str]:
        kinds = ("q_input", "k_input", "v_input") if node[0] == "a" else ("mlp_in",)
        return [f"blocks.{node[1:]}.hook_{kind}" for kind in kinds]

    def read(ids: Tensor, node: str, hooks: list[Any]) -> Tensor:
        found: list[Tensor] = []
        hooked.run_with_hooks(ids, fwd_hooks=[*hooks, (output(node), lambda value, hook: found.append(value))])
        return found[0]

    change = read(clean, path[0], []) - read(corrupt, path[0], [])
    for node in path[1:-1]:

        def add(value: Tensor, hook: Any, change: Tensor = change) -> Tensor:
            return value + (change if value.ndim == 3 else change[:, :, None])

        change = read(corrupt, node, [(name, add) for name in inputs(node)]) - read(corrupt, node, [])
    last = f"blocks.{hooked.cfg.n_layers - 1}.hook_resid_post"
    logits = hooked.run_with_hooks(corrupt, fwd_hooks=[(last, lambda value, hook: value + change)])[:, -1]
    return logits.gather(1, answer[:, None])[:, 0] - logits.gather(1, wrong[:, None])[:, 0]


ROADS = [["input", "a0", "m2", LOGITS], ["a0", "m1", "a2", LOGITS], ["m1", LOGITS], ["input", LOGITS]]


@pytest.mark.parametrize("arch", ["gpt2", "gpt_neo", "gpt_neox", "gpt_neox_sequential", "llama"])
@pytest.mark.parametrize("path", ROADS)
def test_a_path_equals_replacing_one_edge_after_the_other(arch: str, path: list[str]) -> None:
    model, data = small_model(arch), prompts()
    torch.testing.assert_close(paths(model, data).effect(path)[0], literal(model, data, path), atol=1e-8, rtol=1e-8)


def test_m2_by_hand() -> None:
    """Clean 2, corrupt -1. Straight to the logits: 2 + relu(-1) 3 = 2; through the MLP: -1 + 6 = 5."""
    model, _ = m2()
    data = (torch.tensor([[0]]), torch.tensor([[1]]), torch.tensor([1]), torch.tensor([0]))
    found = paths(model, data)
    assert found.effect(["input", LOGITS]).item() == pytest.approx(2.0)
    assert found.effect(["input", "m0", LOGITS]).item() == pytest.approx(5.0)
    assert found.base_values().item() == pytest.approx(-1.0)
    assert found.source_values().item() == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (["m1", "a0", LOGITS], "must run forward"),
        (["a0", "m0", LOGITS], "must run forward"),
        (["input", "a9", LOGITS], "node 'a9' does not exist"),
        (["input", "a0"], "end in 'logits'"),
    ],
)
def test_a_path_that_does_not_exist_is_refused(path: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paths(small_model("gpt_neox"), prompts()).effect(path)
