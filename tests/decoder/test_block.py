"""How a block is wired, its MLP and the final norm, on numbers small enough to follow."""

import pytest
import torch
from torch import Tensor

from memcirc.decoder.block import Steps, final_normed, run_block
from memcirc.decoder.mlp import feed
from memcirc.decoder.norm import Norm
from memcirc.decoder.weights import Linear, Mlp
from memcirc.decoder.workspace import Workspace
from tests.decoder.parts import D_MODEL, POSTS, drawn
from tests.models import small_model


def recorded(model: str) -> tuple[list[tuple[str, float]], float]:
    """What each step of a block was given where attention writes 10, the MLP 100, and the steps between add 1000 and
    10000; and what leaves the block for a residual of 1."""
    seen: list[tuple[str, float]] = []

    def step(name: str, added: float, carries: bool):  # type: ignore[no-untyped-def]
        def run(layer: int, x: Tensor) -> Tensor:
            assert layer == 1
            seen.append((name, float(x)))
            return x + added if carries else torch.full_like(x, added)

        return run

    steps = Steps(step("attention", 10, False), step("mlp", 100, False), step("trim", 1000, True),
                  step("between", 10000, True))  # fmt: skip
    out = run_block(small_model(model).weights, 1, torch.ones(1, 1, 1, 1), steps)
    return seen, float(out)


def test_a_sequential_block_reads_what_its_attention_wrote() -> None:
    assert recorded("gpt2") == (
        [("attention", 1), ("trim", 1), ("between", 1011), ("mlp", 11011)],
        11111,
    )


def test_both_branches_of_a_parallel_block_read_the_same_residual() -> None:
    assert recorded("gpt_neox") == ([("attention", 1), ("trim", 1), ("mlp", 1001)], 1111)


def test_a_block_without_an_mlp_ends_behind_its_attention() -> None:
    assert recorded("attention_only") == ([("attention", 1), ("trim", 1)], 1011)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("post", POSTS)
@pytest.mark.parametrize("multiplier", [1.0, 3.0])
def test_an_mlp_is_its_formula(gated: bool, post: Norm | None, multiplier: float) -> None:
    up, down = Linear(drawn(D_MODEL, 7, seed=1), drawn(7, seed=2)), Linear(drawn(7, D_MODEL, seed=3))
    gate = Linear(drawn(D_MODEL, 7, seed=4)) if gated else None
    mlp, x = Mlp(None, up, down, "relu", gate, post, multiplier), drawn(2, 1, 4, D_MODEL, seed=5)
    inner = up(x).relu() if gate is None else gate(x).relu() * up(x)
    out = down(inner)
    expected = multiplier * (out if post is None else post(out))
    found, kept = feed(mlp, x, Workspace(torch.device("cpu")))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(kept.before, up(x) if gate is None else gate(x))
    assert (kept.linear is not None, kept.post is not None) == (gated, post is not None)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_fixed_scale_of_the_final_norm_changes_its_gradient_and_not_its_value(name: str) -> None:
    weights = small_model(name).weights
    x = drawn(3, weights.d_model).requires_grad_(True)
    free, fixed = final_normed(weights, x), final_normed(weights, x, fixed_scale=True)
    torch.testing.assert_close(free, fixed)
    upstream = drawn(3, weights.d_model, seed=1)
    moved, held = (torch.autograd.grad(value, x, upstream)[0] for value in (free, fixed))
    norm = weights.final_norm
    assert norm is not None
    hat, inverse = norm.hat(x.detach())
    torch.testing.assert_close(held, norm.backward(upstream, hat, inverse, fixed_scale=True))
    torch.testing.assert_close(moved, norm.backward(upstream, hat, inverse))


def test_without_a_final_norm_the_residual_is_read_as_it_is() -> None:
    x = drawn(3, 16)
    assert final_normed(small_model("no_norm").weights, x) is x
