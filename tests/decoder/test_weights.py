"""Plain weights: each record against the formula that its docstring gives, gradients against autograd."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from memcirc.decoder.norm import Norm
from memcirc.decoder.weights import Attention, Linear, Mlp, Projection, Weights
from tests.models import small_model


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


NORMS = [
    Norm(centred, 1e-3, gain, bias)
    for centred in (False, True)
    for gain in (None, drawn(5, seed=1))
    for bias in (None, drawn(5, seed=2))
]


def by_definition(norm: Norm, x: Tensor) -> Tensor:
    x = x - x.mean(-1, keepdim=True) if norm.centred else x
    x = x / (x.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    x = x if norm.gain is None else x * norm.gain
    return x if norm.bias is None else x + norm.bias


_WEIGHTS = small_model("gpt2").weights


def small_weights(**changes: object) -> Weights:
    return replace(_WEIGHTS, **changes)  # type: ignore[arg-type]


def attention(**parts: object) -> Attention:
    projection = Projection(drawn(2, 3, 5), None)
    given = {"norm": None, "query": projection, "key": projection, "value": projection, "out": Linear(drawn(6, 5)),
             "scale": 1.0, **parts}  # fmt: skip
    return Attention(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("bias", [None, drawn(3, seed=1)])
def test_a_linear_map_is_x_times_its_weight_plus_its_bias_also_into_given_memory(bias: Tensor | None) -> None:
    linear, x, room = Linear(drawn(4, 3), bias), drawn(2, 6, 4, seed=2), torch.zeros(2, 6, 3, dtype=torch.float64)
    expected = torch.einsum("abi,io->abo", x, linear.weight) + (0 if bias is None else bias)
    torch.testing.assert_close(linear(x), expected)
    torch.testing.assert_close(linear(x, room), expected)
    torch.testing.assert_close(room, expected)
    assert linear.width == 3


@pytest.mark.parametrize("bias", [None, drawn(5, seed=1)])
def test_columns_of_a_linear_map_give_those_columns_of_what_it_gives(bias: Tensor | None) -> None:
    linear, x = Linear(drawn(4, 5), bias), drawn(6, 4, seed=2)
    torch.testing.assert_close(linear.columns(1, 3)(x), linear(x)[:, 1:3])


@pytest.mark.parametrize("bias", [None, drawn(4, 3, seed=1)])
def test_neighbouring_heads_stand_side_by_side(bias: Tensor | None) -> None:
    projection, x = Projection(drawn(4, 3, 5), bias), drawn(7, 5, seed=2)
    heads = torch.einsum("hdm,xm->xhd", projection.weight, x) + (0 if bias is None else bias)
    torch.testing.assert_close(projection.heads(1, 3)(x), heads[:, 1:3].flatten(1))
    torch.testing.assert_close(projection.whole(x), heads.flatten(1))
    assert len(projection) == 4


@pytest.mark.parametrize("norm", NORMS)
def test_a_norm_is_its_definition_also_into_given_memory(norm: Norm) -> None:
    x, hat_room, room = drawn(3, 4, 5, seed=3), torch.zeros(3, 4, 5).double(), torch.zeros(3, 4, 5).double()
    torch.testing.assert_close(norm(x), by_definition(norm, x))
    hat, inverse = norm.hat(x, hat_room)
    plain = by_definition(Norm(norm.centred, norm.eps), x)
    torch.testing.assert_close(hat_room, plain)
    torch.testing.assert_close(hat, plain)
    torch.testing.assert_close((x - x.mean(-1, keepdim=True) if norm.centred else x) * inverse, plain)
    torch.testing.assert_close(norm.scaled(hat, room), by_definition(norm, x))
    assert inverse.shape == (3, 4, 1)


@pytest.mark.parametrize("norm", NORMS)
def test_the_gradient_through_a_norm_is_autograds(norm: Norm) -> None:
    x, upstream = drawn(3, 5, seed=4).requires_grad_(True), drawn(3, 5, seed=5)
    (expected,) = torch.autograd.grad(by_definition(norm, x), x, upstream)
    hat, inverse = norm.hat(x.detach())
    torch.testing.assert_close(norm.backward(upstream, hat, inverse), expected)


@pytest.mark.parametrize("norm", NORMS)
def test_with_a_fixed_scale_the_gradient_takes_the_scale_for_a_constant(norm: Norm) -> None:
    x, upstream = drawn(3, 5, seed=4).requires_grad_(True), drawn(3, 5, seed=5)
    hat, inverse = norm.hat(x.detach())
    moving = x - x.mean(-1, keepdim=True) if norm.centred else x
    value = moving * inverse * (1 if norm.gain is None else norm.gain)
    (expected,) = torch.autograd.grad(value, x, upstream)
    torch.testing.assert_close(norm.backward(upstream, hat, inverse, fixed_scale=True), expected)


@pytest.mark.parametrize("norm", NORMS)
def test_a_folded_matrix_acts_on_the_hat_as_the_matrix_on_what_the_norm_gives(norm: Norm) -> None:
    matrix, x = drawn(2, 3, 5, seed=6), drawn(7, 5, seed=7)
    without_bias = Norm(norm.centred, norm.eps, norm.gain)
    folded = norm.folded(matrix, torch.empty_like(matrix))
    torch.testing.assert_close(norm.hat(x)[0] @ folded[0].T, without_bias(x) @ matrix[0].T)
    if norm.centred:
        torch.testing.assert_close(folded.sum(-1), torch.zeros(2, 3).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("norm", "bias"), [(n, b) for n in (None, *NORMS[-2:]) for b in (None, drawn(2, 3, seed=8))])
def test_shifts_are_what_heads_give_for_an_input_whose_hat_is_zero(norm: Norm | None, bias: Tensor | None) -> None:
    projection = Projection(drawn(2, 3, 5), bias)
    shift = attention(norm=norm, query=projection).shifts[0]
    nothing = torch.zeros(1, 5, dtype=torch.float64)
    x = nothing if norm is None else norm.scaled(nothing)
    torch.testing.assert_close(torch.zeros(2, 3).double() if shift is None else shift, projection.whole(x).view(2, 3))


@pytest.mark.parametrize(
    ("parts", "coupled", "plain"),
    [
        ({}, False, True), ({"post": NORMS[0]}, True, True), ({"joint": True}, False, True),
        ({"query_norm": NORMS[0]}, False, False), ({"query_norm": NORMS[0], "joint": True}, True, False),
        ({"key_norm": NORMS[0]}, False, False), ({"cap": 5.0}, False, False),
    ],
)  # fmt: skip
def test_heads_are_coupled_by_a_norm_behind_them_or_a_joint_one_before_their_scores(
    parts: dict[str, object], coupled: bool, plain: bool
) -> None:
    made = attention(**parts)
    assert (made.coupled, made.plain) == (coupled, plain)


def test_the_bias_of_an_attention_is_multiplied_as_what_it_writes_is() -> None:
    assert attention().bias == 0
    made = attention(out=Linear(drawn(6, 5), drawn(5)), multiplier=0.5)
    torch.testing.assert_close(made.bias, drawn(5) * 0.5)


@given(scale=st.floats(0.1, 3), cap=st.none() | st.floats(0.5, 30))
def test_logits_are_scaled_before_they_are_capped(scale: float, cap: float | None) -> None:
    weights = small_weights(logit_scale=scale, logit_cap=cap)
    logits = drawn(4, 6)
    expected = logits * scale if cap is None else cap * torch.tanh(scale * logits / cap)
    torch.testing.assert_close(weights.read_out(logits), expected)


def test_embeddings_are_scaled_then_placed_then_normed() -> None:
    norm = Norm(True, 1e-5, drawn(16, seed=1), drawn(16, seed=2))
    weights = small_weights(embedding_scale=3.0, embedding_norm=norm)
    ids, position = torch.tensor([[4, 2]]), torch.tensor([[5, 6]])
    assert weights.positions is not None
    expected = by_definition(norm, 3 * weights.embedding[ids] + weights.positions[position])
    torch.testing.assert_close(weights.embed(ids, position), expected)
    bare = small_weights(positions=None)
    torch.testing.assert_close(bare.embed(ids, position), bare.embedding[ids])


def test_facts_of_a_model_are_read_off_its_weights() -> None:
    weights = small_model("llama_grouped").weights
    assert (weights.n_heads, weights.n_kv_heads, weights.n_stored_kv_heads) == (4, 2, 2)
    assert (weights.gated, weights.d_mlp, weights.d_model, weights.d_vocab) == (True, 24, 16, 31)
    ungrouped = small_model("llama_ungrouped").weights
    assert (ungrouped.n_kv_heads, ungrouped.n_stored_kv_heads) == (4, 2)
    plain = small_model("attention_only").weights
    assert (plain.gated, plain.d_mlp, plain.coupled) == (False, 0, False)


def test_a_model_without_blocks_has_as_many_stored_keys_as_its_graph() -> None:
    weights = small_weights(blocks=())
    assert (weights.n_stored_kv_heads, weights.gated, weights.d_mlp) == (4, False, 0)


def test_the_stream_is_never_below_float32() -> None:
    low = small_weights(embedding=_WEIGHTS.embedding.to(torch.bfloat16))
    assert (low.dtype, low.stream_dtype) == (torch.bfloat16, torch.float32)
    assert _WEIGHTS.stream_dtype == torch.float64


def test_one_block_with_a_gate_makes_a_model_gated() -> None:
    first, second, third = _WEIGHTS.blocks
    gate = Mlp(None, Linear(drawn(16, 70)), Linear(drawn(70, 16)), "relu", gate=Linear(drawn(16, 70)))
    mixed = small_weights(blocks=(first, replace(second, mlp=gate), replace(third, mlp=None)))
    assert (mixed.gated, mixed.d_mlp) == (True, 70)
