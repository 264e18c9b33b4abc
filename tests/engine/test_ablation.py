"""The values that ablated edges carry: means against a loop over prompts, totals against their definition."""

import pytest
import torch
from torch import Tensor

from memcirc.decoder.workspace import Workspace
from memcirc.engine import frame as frame_module
from memcirc.engine.ablation import ablation_values, mean_outputs, rest_heads, zeros
from memcirc.engine.batch import EngineBatch
from memcirc.engine.frame import Frame, frames
from memcirc.engine.plain import plain_run
from memcirc.engine.values import Means, embedding, mean_values, totals_of
from memcirc.interventions import ABLATIONS, RunSettings
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from tests.models import random_pairs, small_model

NAMES = ["gpt2", "gpt_neox", "attention_only", "llama_grouped"]
WORK = Workspace(torch.device("cpu"))


def frame_of(model: Model, pairs: Pairs, share_prefix: bool = False) -> Frame:
    (frame,) = frames(model.weights, pairs, None, share_prefix, False)
    return frame


def sources(model: Model, ids: tuple[int, ...]) -> list[Tensor]:
    """What the input, each layer's heads (as z) and each MLP give on one prompt, [pos, ...], by TransformerLens."""
    with torch.no_grad():
        cache = model.hooked.run_with_cache(torch.tensor([ids]), prepend_bos=False)[1]
    layers = range(model.hooked.cfg.n_layers)
    zs = [cache[f"blocks.{layer}.attn.hook_z"][0].flatten(1) for layer in layers]
    mlps = [] if model.hooked.cfg.attn_only else [cache[f"blocks.{layer}.hook_mlp_out"][0] for layer in layers]
    return [cache["blocks.0.hook_resid_pre"][0], *zs, *mlps]


def slow_means(model: Model, pairs: Pairs, ablation: str) -> list[Tensor]:
    """Position by position over the prompts that reach it, or over all prompts and positions."""
    prompts = [getattr(pair, f"{prompt}_ids") for prompt in ABLATIONS[ablation].means_of for pair in pairs]
    runs = [sources(model, ids) for ids in prompts]
    if ablation == "mean-all":
        return [torch.cat([run[i] for run in runs]).mean(0, keepdim=True) for i in range(len(runs[0]))]
    longest = max(map(len, prompts))
    return [
        torch.stack([torch.stack([run[i][p] for run in runs if len(run[i]) > p]).mean(0) for p in range(longest)])
        for i in range(len(runs[0]))
    ]


@pytest.mark.parametrize("ablation", [name for name, each in ABLATIONS.items() if each.means_of and not each.learned])
@pytest.mark.parametrize("name", ["gpt2", "attention_only"])
def test_means_are_over_the_prompts_that_reach_a_position(name: str, ablation: str) -> None:
    model, pairs = small_model(name), random_pairs(4, (6, 4, 5))
    with torch.no_grad():
        means = mean_outputs(model.weights, pairs, ABLATIONS[ablation], False, WORK)
    expected = slow_means(model, pairs, ablation)
    assert means.constant == (ablation == "mean-all")
    for found, wanted in zip((means.embed, *means.z, *means.mlp), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_reference_of_several_batches_is_averaged_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pairs = small_model("gpt2"), random_pairs(4, (6, 4, 5))
    with torch.no_grad():
        once = mean_outputs(model.weights, pairs, ABLATIONS["mean-both"], False, WORK)
        monkeypatch.setattr(frame_module, "batch_bytes", lambda device: 1)
        singly = mean_outputs(model.weights, pairs, ABLATIONS["mean-both"], False, WORK)
    torch.testing.assert_close(singly.embed, once.embed)
    torch.testing.assert_close(singly.z, once.z)


def test_whole_answers_count_into_means_only_where_all_have_one() -> None:
    model = small_model("gpt2")
    with_answers, without = random_pairs(2, 4, steps=3), random_pairs(2, 4)
    mixed = Pairs((*with_answers.items, *without.items))
    with torch.no_grad():
        lengths = [
            len(mean_outputs(model.weights, pairs, ABLATIONS["mean-clean"], sequence, WORK).embed)
            for pairs, sequence in ((with_answers, True), (with_answers, False), (mixed, True))
        ]
    assert lengths == [6, 4, 4]


@pytest.mark.parametrize("name", NAMES)
def test_totals_are_the_sums_of_what_ablated_edges_carry_and_of_the_biases_before(name: str) -> None:
    model, pairs = small_model(name), random_pairs(2, 5)
    weights, frame = model.weights, frame_of(model, pairs)
    with torch.no_grad():
        run = plain_run(EngineBatch(weights, frame, None, WORK), embedding(weights, frame, "corrupt"), whole=True)
        totals = totals_of(weights, run.outputs)
    for found, expected in zip(totals.attention, run.residuals.attention, strict=True):
        torch.testing.assert_close(found, expected)
    for found, expected in zip(totals.mlp, run.residuals.mlp, strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(frame.at_read(totals.final, 2), run.residuals.final)


@pytest.mark.parametrize("name", NAMES)
def test_zero_ablation_leaves_the_output_biases_alone(name: str) -> None:
    weights = small_model(name).weights
    values = zeros(weights)
    assert not values.outputs.embed.any()
    assert len(values.outputs.mlp) == len(weights.blocks) * weights.graph.shape.has_mlp
    bias = torch.zeros(weights.d_model, dtype=weights.dtype)
    for layer, block in enumerate(weights.blocks):
        torch.testing.assert_close(values.totals.attention[layer][0, 0, 0], bias)
        after = bias + block.attention.bias
        if block.mlp is not None:
            expected = bias if weights.graph.shape.parallel else after
            torch.testing.assert_close(values.totals.mlp[layer][0, 0, 0], expected)
        bias = after
    torch.testing.assert_close(values.totals.final[0, 0, 0], bias)


@pytest.mark.parametrize(("base", "other"), [("clean", "corrupt"), ("corrupt", "clean")])
def test_resampled_values_are_the_other_prompts_run(base: str, other: str) -> None:
    model, pairs = small_model("gpt2"), random_pairs(2, 5)
    weights, frame = model.weights, frame_of(model, pairs)
    batch = EngineBatch(weights, frame, None, WORK)
    with torch.no_grad():
        values, heads = ablation_values(
            model, pairs, RunSettings("tree", reverse=base == "corrupt"), None, False, WORK
        )(batch)
        run = plain_run(batch, embedding(weights, frame, other))
    torch.testing.assert_close(values.outputs.embed, run.outputs.embed)
    torch.testing.assert_close(values.outputs.z, run.outputs.z)
    torch.testing.assert_close(values.totals.final, run.residuals.final)
    assert heads is not None
    torch.testing.assert_close(heads.query, run.heads.query)


@pytest.mark.parametrize("name", NAMES)
def test_branches_at_rest_ask_what_the_totals_make_them_ask(name: str) -> None:
    model, pairs = small_model(name), random_pairs(2, 5)
    weights, frame = model.weights, frame_of(model, pairs)
    with torch.no_grad():
        run = plain_run(EngineBatch(weights, frame, None, WORK), embedding(weights, frame, "corrupt"))
        rest = rest_heads(weights, frame, run.residuals)
    for letter in ("query", "key", "value"):
        for found, expected in zip(getattr(rest, letter), getattr(run.heads, letter), strict=True):
            torch.testing.assert_close(found, expected)


def test_means_are_taken_of_the_reference_and_of_the_pairs_themselves_without_one() -> None:
    model, pairs, reference = small_model("gpt2"), random_pairs(2, 4), random_pairs(3, 5, seed=7)
    weights, frame = model.weights, frame_of(model, pairs)
    batch = EngineBatch(weights, frame, None, WORK)
    with torch.no_grad():
        for given, averaged in ((reference, reference), (None, pairs)):
            values, heads = ablation_values(model, pairs, RunSettings("tree", "mean-clean"), given, False, WORK)(batch)
            expected = slow_means(model, averaged, "mean-clean")
            assert heads is None
            torch.testing.assert_close(values.outputs.embed, expected[0][frame.position][:, None])
            torch.testing.assert_close(values.outputs.z[0], expected[1][frame.position][:, None])


def some_means(n_positions: int) -> Means:
    z = tuple(torch.randn(n_positions, 16).double() for _ in range(3))
    return Means(torch.randn(n_positions, 16).double(), z, tuple(torch.randn(n_positions, 16).double() for _ in z))


@pytest.mark.parametrize("whole", [False, True])
def test_means_stand_at_the_positions_of_the_suffix_and_in_the_last_block_at_those_read(whole: bool) -> None:
    model, means = small_model("gpt2"), some_means(6)
    frame = frame_of(model, random_pairs(2, 6, shared=3), share_prefix=True)
    values = mean_values(model.weights, frame, means, whole)
    assert frame.position.tolist() == [[3, 4, 5]] * 2
    last = [3, 4, 5] if whole else [5]
    for parts, given in ((values.outputs.z, means.z), (values.outputs.mlp, means.mlp)):
        for layer, (found, mean) in enumerate(zip(parts, given, strict=True)):
            where = last if layer == 2 else [3, 4, 5]
            torch.testing.assert_close(found, mean[where][None, None].expand(2, -1, -1, -1))
    assert values.totals.final.shape[2] == len(last)
    assert mean_values(model.weights, frame, means).totals.final.shape[2] == 1


def test_one_mean_over_all_positions_is_the_same_everywhere() -> None:
    model, means = small_model("gpt2"), some_means(1)
    values = mean_values(model.weights, frame_of(model, random_pairs(2, 6)), means)
    torch.testing.assert_close(values.outputs.embed[0, 0], means.embed)
    assert values.totals.final.shape[:3] == (1, 1, 1)


def test_a_reference_must_reach_as_far_as_the_pairs() -> None:
    model = small_model("gpt2")
    mean_values(model.weights, frame_of(model, random_pairs(1, 6)), some_means(6))
    with pytest.raises(ValueError, match="a pair has 7 positions but the reference's longest prompt 6"):
        mean_values(model.weights, frame_of(model, random_pairs(1, 7)), some_means(6))


@pytest.mark.parametrize("ablation", ["zero", "resample"])
def test_an_ablation_without_a_mean_takes_no_reference(ablation: str) -> None:
    model, pairs = small_model("gpt2"), random_pairs(1, 4)
    with pytest.raises(ValueError, match=f"ablation '{ablation}' takes no mean, so it takes no reference pairs"):
        ablation_values(model, pairs, RunSettings("tree", ablation), pairs, False, WORK)
