"""An attention's formulas on numbers small enough to follow, fused forms against apart."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from memcirc.decoder.attention import (
    KeyValue,
    Sight,
    attend,
    final_scores,
    head_normed,
    head_outputs,
    join_heads,
    project,
    split_heads,
    spread,
    write_of,
    written,
)
from memcirc.decoder.norm import Norm
from memcirc.decoder.weights import Linear, Projection
from tests.decoder.parts import D_HEAD, D_MODEL, HEADS, POSTS, attention, drawn
from tests.models import small_model


def test_heads_are_split_and_joined_without_a_loss() -> None:
    x = drawn(2, 3, 4, HEADS * D_HEAD)
    heads = split_heads(x, D_HEAD)
    assert heads.shape == (2, HEADS, 3, 4, D_HEAD)
    torch.testing.assert_close(heads[:, 1], x[..., D_HEAD : 2 * D_HEAD])
    torch.testing.assert_close(join_heads(heads), x)


def test_keys_of_a_group_are_repeated_beside_each_other() -> None:
    keys = torch.arange(2.0).view(1, 2, 1, 1, 1)
    assert spread(keys, 4).flatten().tolist() == [0, 0, 1, 1]
    assert spread(keys, 2) is keys


@pytest.mark.parametrize("groups", [1, 2])
def test_a_fused_matrix_gives_the_queries_keys_and_values_of_its_parts(groups: int) -> None:
    """Four queries and two keys and values: for each group its queries, then its keys, then its values."""
    sizes = {"query": 4, "key": 2, "value": 2}
    parts = {
        name: Projection(drawn(n, D_HEAD, D_MODEL, seed=n), drawn(n, D_HEAD, seed=9 + i))
        for i, (name, n) in enumerate(sizes.items())
    }
    rows = [
        (part.weight[g * n : (g + 1) * n], part.bias[g * n : (g + 1) * n])  # type: ignore[index]
        for g in range(groups)
        for part, n in ((part, len(part) // groups) for part in parts.values())
    ]
    weight = torch.cat([w.flatten(0, 1) for w, _ in rows])
    fused = Linear(weight.T, torch.cat([b.flatten() for _, b in rows]))
    x = drawn(2, 1, 4, D_MODEL, seed=20)
    told = {} if groups == 1 else {"groups": groups}
    together = project(attention(**parts, fused=fused, **told), x, x)
    for whole, part in zip(together, project(attention(**parts), x, x), strict=True):
        torch.testing.assert_close(whole, part)
    fewer = project(attention(**parts, fused=fused, **told), x, x[:, :, -1:])
    torch.testing.assert_close(fewer[0], together[0][:, :, :, -1:])
    torch.testing.assert_close(fewer[1], together[1])


def test_a_norm_of_queries_is_each_heads_own_or_that_of_all_together() -> None:
    x, gain = drawn(1, HEADS, 1, 4, D_HEAD), drawn(HEADS * D_HEAD, seed=1)
    apart = head_normed(Norm(False, 1e-6, gain), False, x)
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * gain.view(HEADS, 1, 1, D_HEAD)
    torch.testing.assert_close(apart, expected)
    joint = head_normed(Norm(False, 1e-6, gain), True, x)
    scale = (join_heads(x).square().mean(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(join_heads(joint), join_heads(x) / scale * gain)
    assert head_normed(None, True, x) is x


def test_a_norms_gain_for_some_heads_is_theirs_and_one_for_all_is_shared() -> None:
    x, gain = drawn(1, HEADS, 1, 4, D_HEAD), drawn(HEADS * D_HEAD, seed=1)
    norm = Norm(False, 1e-6, gain)
    torch.testing.assert_close(head_normed(norm, False, x[:, [2, 0]], [2, 0]), head_normed(norm, False, x)[:, [2, 0]])
    shared = Norm(False, 1e-6, gain[:D_HEAD])
    torch.testing.assert_close(head_normed(shared, False, x[:, [2]], [2]), head_normed(shared, False, x)[:, [2]])
    doubled = x.repeat_interleave(2, dim=1)
    torch.testing.assert_close(
        head_normed(norm, False, doubled), head_normed(norm, False, x).repeat_interleave(2, dim=1)
    )


def causal(pos: int, keys: int) -> Tensor:
    return (torch.arange(keys) <= torch.arange(pos)[:, None] + keys - pos)[None]


def test_a_query_weighs_the_values_it_sees_by_the_softmax_of_its_scores() -> None:
    """One head, d_head = 1, scale 1: at position 1 the scores are 0 and ln 3, so z = (1 * 4 + 3 * 8) / 4 = 7."""
    ln3 = torch.tensor(3.0).log()
    query, key = torch.ones(1, 1, 1, 2, 1), torch.stack([torch.tensor(0.0), ln3]).view(1, 1, 1, 2, 1)
    value = torch.tensor([4.0, 8.0]).view(1, 1, 1, 2, 1)
    z, pattern = attend(attention(scale=1.0), query, key, value, None, Sight(causal(2, 2), None))
    assert z.flatten().tolist() == pytest.approx([4, 7])
    assert pattern.flatten().tolist() == pytest.approx([1, 0, 0.25, 0.75])


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("n_kv", [1, 2])
def test_a_prefix_given_apart_is_attended_to_as_if_it_stood_before_the_keys(biased: bool, n_kv: int) -> None:
    query = drawn(2, 2, 3, 4, D_HEAD, seed=1)
    key, value = drawn(2, n_kv, 3, 4, D_HEAD, seed=2), drawn(2, n_kv, 3, 4, D_HEAD, seed=3)
    before = KeyValue(drawn(2, n_kv, 5, D_HEAD, seed=4), drawn(2, n_kv, 5, D_HEAD, seed=5))
    bias = drawn(2, 2, 9, seed=6) if biased else None
    part, sight = attention(cap=2.0), Sight(causal(4, 9).expand(2, -1, -1), bias)
    whole_key, whole_value = (
        torch.cat([some[:, :, None].expand(-1, -1, 3, -1, -1), x], dim=3)
        for some, x in ((before.key, key), (before.value, value))
    )
    expected = attend(part, query, whole_key, whole_value, None, sight)
    for found, wanted in zip(attend(part, query, key, value, before, sight), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_scores_are_scaled_capped_and_biased_in_that_order_and_the_unseen_are_hidden() -> None:
    products, bias = torch.tensor([[8.0, -4.0, 1.0]]), torch.tensor([[1.0, 2.0, 3.0]])
    seen = torch.tensor([[True, True, False]])
    scores = final_scores(attention(scale=0.5, cap=2.0), products.clone(), bias, seen)
    assert scores.tolist()[0] == pytest.approx([2 * math.tanh(2) + 1, 2 * math.tanh(-1) + 2, -math.inf])
    assert final_scores(attention(scale=0.5), products.clone(), None, seen).tolist() == [[4, -2, -math.inf]]


def test_scores_of_half_precision_are_finished_in_single() -> None:
    products = torch.tensor([[1.0]], dtype=torch.bfloat16)
    assert final_scores(attention(), products, None, torch.tensor([[True]])).dtype == torch.float32


@pytest.mark.parametrize("multiplier", [1.0, 0.25])
@pytest.mark.parametrize("post", POSTS)
def test_what_heads_write_adds_up_to_what_the_attention_writes(post: Norm | None, multiplier: float) -> None:
    bias = None if post is not None else drawn(D_MODEL, seed=8)
    part = attention(post=post, multiplier=multiplier, out=Linear(drawn(HEADS * D_HEAD, D_MODEL, seed=7), bias))
    z = drawn(2, 1, 4, HEADS * D_HEAD, seed=11)
    own, write, inner = written(part, z)
    total = z @ part.out.weight + (0 if bias is None else bias)
    expected = multiplier * (total if post is None else post(total))
    torch.testing.assert_close(write, expected)
    torch.testing.assert_close(write_of(part, own), expected)
    assert (inner is None) == (post is None)
    weights = small_model("attention_only").weights
    one = replace(weights, blocks=(replace(weights.blocks[0], attention=part),), d_head=D_HEAD,
                  graph=replace(weights.graph, shape=replace(weights.graph.shape, n_heads=HEADS)))  # fmt: skip
    writes = torch.einsum("bvphd,hdm->bvpm", own.unflatten(-1, (HEADS, D_HEAD)), head_outputs(one, 0))
    torch.testing.assert_close(writes + part.bias, expected)


def test_keys_and_biases_of_some_heads_are_theirs() -> None:
    kept = KeyValue(drawn(1, 3, 2, D_HEAD), drawn(1, 3, 2, D_HEAD, seed=1))
    assert kept.of_heads([0, 1, 2]) is kept
    some = kept.of_heads([2, 2, 0])
    torch.testing.assert_close(some.key, kept.key[:, [2, 2, 0]])
    torch.testing.assert_close(some.value, kept.value[:, [2, 2, 0]])
    sight = Sight(causal(2, 2), drawn(1, 3, 2))
    assert sight.bias is not None
    part = sight.of_heads([1])
    assert part.bias is not None
    torch.testing.assert_close(part.bias, sight.bias[:, [1]])
    bare = Sight(causal(2, 2), None)
    assert bare.of_heads([1]) is bare
