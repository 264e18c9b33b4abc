"""Values between two ends: ratios worked by hand, and ends that only rounding tells apart."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.circuits.minimal import find_minimal
from memcirc.circuits.runner import circuit_runner
from memcirc.metrics import POSITION, TABLE, Metric
from memcirc.models import load_model
from memcirc.pairs.record import Pairs
from memcirc.statistics import (
    Ends,
    area_under_roc,
    coincide,
    drawn_counts,
    grouped,
    normalised,
    percentile_interval,
    resample_counts,
    resampled_means,
    resampled_ratios,
    wilson,
)
from memcirc.verification.verify import verify
from tests.models import WIDTH, random_pairs, small_hf_model, small_model


def test_values_lie_between_their_ends_for_negative_and_falling_metrics_too() -> None:
    assert normalised([-4.0, -3.0, -2.0], -4.0, -2.0).tolist() == [0, 0.5, 1]
    assert normalised([5.0, 4.0], 5.0, 3.0).tolist() == [0, 0.5]
    assert Ends(-4.0, -2.0).faithfulness(-3.0) == 0.5


def test_ends_within_the_resolution_or_a_millionth_of_themselves_coincide() -> None:
    assert coincide([0.0, 1.0, 1.0, np.nan], [0.0, 1.0 + 1e-7, 1.1, 1.0]).tolist() == [True, True, False, True]
    assert coincide(0.0, 1e-12).item() is False
    assert coincide(0.0, 1e-12, resolution=1e-9).item() is True
    assert np.isnan(normalised(0.5, 1.0, 1.0))
    with pytest.raises(ValueError, match="faithfulness is not defined"):
        Ends(1.0, 1.0 + 1e-5, 1e-4).faithfulness(1.0)


def equal_prompts(pairs: Pairs) -> Pairs:
    return Pairs(tuple(replace(pair, corrupt_ids=pair.clean_ids) for pair in pairs))


@pytest.mark.parametrize("name", ["gpt2", "gpt_neo", "llama_grouped", "bidirectional"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize(("mode", "reverse"), [("tree", False), ("edge", False), ("edge", True)])
def test_the_resolution_covers_what_rounding_makes_of_equal_prompts(
    name: str, dtype: str, mode: str, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends of such pairs are the same run, computed in two ways."""
    monkeypatch.setattr("memcirc.circuits.runner.check_contrast", lambda *_: None)
    for seed in range(3):
        pairs = equal_prompts(random_pairs(4, 8, seed=seed))
        runner = circuit_runner(small_model(name, dtype=dtype), pairs, mode=mode, reverse=reverse)
        for metric in (name for name, of in TABLE.items() if of.reads == POSITION):
            ends = runner.ends(metric)
            assert coincide(ends.nothing, ends.everything, ends.resolution), metric


@pytest.mark.parametrize("metric", ["logit_diff", "prob_diff", "answer_logprob", "kl"])
def test_pairs_that_contrast_are_far_above_the_resolution(metric: str) -> None:
    for name in ("gpt2", "llama_grouped"):
        ends = circuit_runner(small_model(name, dtype="float32"), random_pairs(4), mode="tree").ends(metric)
        assert abs(ends.everything - ends.nothing) > 100 * ends.resolution > 0


def test_a_count_has_no_rounding_and_a_probability_rounds_by_its_share() -> None:
    logits, values = torch.tensor([[8.0, -2.0]]), torch.tensor([1e-4])

    def resolution(name: str, dtype: torch.dtype = torch.float32) -> float:
        return Metric.parse(name).resolution(logits, values, dtype)

    assert resolution("neg_correct") == 0
    assert resolution("logit_diff") == pytest.approx(16 * 2**-23 * 8)
    assert resolution("answer_prob") == pytest.approx(16 * 2**-23 * 8e-4)
    assert resolution("answer_logprob", torch.bfloat16) == pytest.approx(2**-7 * 8)


def test_equal_prompts_are_refused_wherever_a_contrast_is_needed() -> None:
    model, pairs = small_model("gpt2", dtype="float32"), random_pairs(3)
    scores = attribute(model, pairs, "eap")
    mixed = Pairs((*pairs.items[:2], *equal_prompts(pairs)[2:]))
    says = "1 of 3 pairs do not contrast: clean and corrupt of pair 2 .* are the same;"
    with pytest.raises(ValueError, match=says):
        attribute(model, mixed, "mask-ig")
    with pytest.raises(ValueError, match=says):
        circuit_runner(model, mixed, mode="edge")
    with pytest.raises(ValueError, match=says):
        find_minimal(model, mixed, scores, mode="tree")
    with pytest.raises(ValueError, match=says):
        verify(model, mixed, scores, mode="tree", circuit=scores.top(3))
    attribute(model, mixed, "eap", ablation="zero")
    circuit_runner(model, mixed, mode="tree", ablation="mean-clean").faithfulness([scores.top(3)])


def test_a_difference_behind_the_position_that_is_read_is_none_in_a_causal_model() -> None:
    late = Pairs(
        tuple(
            replace(pair, corrupt_ids=(*pair.clean_ids[:-1], (pair.clean_ids[-1] + 1) % 31), position=2)
            for pair in random_pairs(2)
        )
    )
    with pytest.raises(ValueError, match="the same up to position 2, where it is read"):
        circuit_runner(small_model("gpt2"), late, mode="tree")
    assert circuit_runner(small_model("bidirectional"), late, mode="tree").ends().everything


def test_the_area_is_the_share_of_pairs_in_order_and_ties_count_half() -> None:
    generator = np.random.default_rng(0)
    inside, outside = generator.integers(0, 5, 40), generator.integers(0, 6, 30)
    difference = inside[:, None] - outside[None]
    assert area_under_roc(inside, outside) == pytest.approx(((difference > 0) + 0.5 * (difference == 0)).mean())


def test_members_of_one_group_are_drawn_together_and_every_draw_has_as_many_groups() -> None:
    groups = grouped("abacbde")
    assert groups == [[0, 2], [1, 4], [3], [5], [6]]
    counts = resample_counts(groups, 500, 0)
    for group in groups:
        assert (counts[:, group] == counts[:, group[:1]]).all()
    assert (counts[:, [group[0] for group in groups]].sum(1) == len(groups)).all()
    assert counts.mean() == pytest.approx(1, abs=0.1)


def test_a_resample_is_the_statistic_of_the_members_drawn() -> None:
    counts = resample_counts(grouped(range(6)), 20, 1)
    values, nothing, everything = np.random.default_rng(2).normal(size=(3, 6))
    for row, ratio, mean in zip(
        counts, resampled_ratios(counts, values, nothing, everything), resampled_means(counts, values), strict=True
    ):
        drawn = np.repeat(np.arange(6), row.astype(int))
        assert mean == pytest.approx(values[drawn].mean())
        assert ratio == pytest.approx(
            float(normalised(values[drawn].mean(), nothing[drawn].mean(), everything[drawn].mean()))
        )


def test_several_values_are_resampled_row_by_row() -> None:
    counts = drawn_counts(grouped("aabc"), 7, 3)
    values, nothing, everything = np.random.default_rng(4).normal(size=(5, 4)), np.zeros(4), np.arange(4.0) + 1
    ratios = resampled_ratios(counts, values, nothing, everything)
    assert ratios.shape == (7, 5)
    for i, row in enumerate(values):
        assert ratios[:, i] == pytest.approx(resampled_ratios(counts, row, nothing, everything))


def test_ends_of_a_resample_that_coincide_have_no_ratio() -> None:
    counts = np.array([[2.0, 0.0], [0.0, 2.0]])
    ratios = resampled_ratios(counts, np.array([1.0, 1.0]), np.zeros(2), np.array([1e-3, 4.0]), resolution=0.01)
    assert np.isnan(ratios[0])
    assert ratios[1] == 0.25


def test_an_interval_leaves_out_half_of_what_its_level_leaves_on_each_side() -> None:
    draws = np.random.default_rng(0).permutation(np.arange(1001.0))
    for level, low, high in ((0.95, 25, 975), (0.5, 250, 750)):
        found = percentile_interval(draws, 9, level)
        assert (found.low, found.high) == pytest.approx((low, high))
        assert (found.level, found.n_groups, found.n_resamples) == (level, 9, 1001)
    assert percentile_interval(draws, 9).level == 0.95


def test_one_resample_in_ten_may_be_without_a_number_and_no_more() -> None:
    draws = np.arange(10.0)
    draws[0] = np.nan
    assert percentile_interval(draws, 5).n_resamples == 9
    draws[1] = np.inf
    with pytest.raises(ValueError, match="2 of 10 resamples have no faithfulness: their ends coincide"):
        percentile_interval(draws, 5)


def test_four_groups_are_too_few_for_a_bootstrap_and_five_are_enough() -> None:
    assert resample_counts(grouped(range(5)), 3, 0).shape == (3, 5)
    with pytest.raises(ValueError, match=r"6 pairs form 4 unrelated groups of documents; .* needs at least 5"):
        resample_counts([[0, 1], [2], [3, 4], [5]], 3, 0)


def test_a_draw_follows_its_seed() -> None:
    groups = grouped(range(8))
    assert (drawn_counts(groups, 4, 1) == drawn_counts(groups, 4, 1)).all()
    assert (drawn_counts(groups, 4, 1) != drawn_counts(groups, 4, 2)).any()


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 10), (10, 10), (1, 40)])
def test_wilsons_interval_is_its_formula(successes: int, n: int) -> None:
    z, share = 1.959963984540054, successes / n
    centre, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    expected = [max(0, (centre - half) / (1 + z**2 / n)), min(1, (centre + half) / (1 + z**2 / n))]
    assert wilson(successes, n) == pytest.approx(expected, abs=1e-9)


def test_logits_far_from_0_do_not_hide_a_contrast_in_bfloat16() -> None:
    """As those of GPT-2 and Pythia lie, near 100, where a unit in the last place is 0.5: more than these pairs' mean
    contrast, and less than many pairs tell apart."""
    hf = copy.deepcopy(small_hf_model("gpt_neox").hf)
    assert hf is not None
    far = torch.nn.functional.normalize(torch.randn(WIDTH, generator=torch.Generator().manual_seed(1)), dim=0)
    with torch.no_grad():
        hf.gpt_neox.final_layer_norm.bias += 30 * far
        hf.get_output_embeddings().weight += 3 * far
    model, pairs = load_model(hf, device="cpu", dtype="bfloat16"), random_pairs(32, 8, seed=10)
    runner = circuit_runner(model, pairs, mode="tree")
    assert runner.end_values("answer_logit").abs().max() > 80
    ends = runner.ends()
    contrast, finest = abs(ends.everything - ends.nothing), runner.resolution("logit_diff", 32)
    assert runner.resolution("logit_diff") > contrast > finest
    assert runner.faithfulness([runner.graph.edges]).item() == pytest.approx(1, abs=finest / contrast)
