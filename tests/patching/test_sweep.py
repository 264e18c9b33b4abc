"""The fast engine equals ``transformer_lens.patching`` and the literal passes; what cannot be patched is refused."""

import contextlib
import io
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import transformer_lens.patching as peer
from torch import Tensor

from memcirc.models import Model
from memcirc.pairs.record import Pair, Pairs
from memcirc.patching.grids import SWEEPS
from memcirc.patching.literal import hook_count
from memcirc.patching.patches import OPERATIONS, Patch
from memcirc.patching.sites import Site, component_sites
from memcirc.patching.sweep import patch_sweep
from memcirc.small_models import word_tokenizer
from tests.models import D_VOCAB, random_pairs, small_model

AGREEMENT = 2e-5
ALSO_BLOCKS = ("resid_pre", "resid_mid", "attn_out", "mlp_out", "block_every")


def prompts(seed: int = 1, n: int = 3, length: int = 7, shared: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    clean, corrupt = torch.randint(0, D_VOCAB, (2, n, length), generator=generator)
    corrupt[:, :shared] = clean[:, :shared]
    answer = torch.randint(0, D_VOCAB, (n,), generator=generator)
    return clean, corrupt, answer, (answer + 1) % D_VOCAB


def as_pairs(clean: Tensor, corrupt: Tensor, answer: Tensor, wrong: Tensor) -> Pairs:
    """The same as pairs."""
    rows = zip(clean.tolist(), corrupt.tolist(), answer.tolist(), wrong.tolist(), strict=True)
    return Pairs(tuple(Pair(tuple(a), tuple(b), (right,), (other,)) for a, b, right, other in rows))


def contrasting(model: Model, clean: Tensor, corrupt: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """With the answers on which both prompts differ most, so that rounding is small beside the ends' distance."""
    change = (model.logits(clean) - model.logits(corrupt))[:, -1]
    return clean, corrupt, change.argmax(-1), change.argmin(-1)


def difference(logits: Tensor, answer: Tensor, wrong: Tensor) -> Tensor:
    last = logits[:, -1]
    return (last.gather(1, answer[:, None]) - last.gather(1, wrong[:, None])).mean()


def of_peer(model: Model, name: str, clean: Tensor, corrupt: Tensor, answer: Tensor, wrong: Tensor) -> np.ndarray:
    """The sweep of TransformerLens, normalised by its own ends."""
    function = getattr(peer, f"get_act_patch_{name if name in ALSO_BLOCKS else f'attn_{name}'}")
    with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
        logits, cache = model.hooked.run_with_cache(clean)
        source, base = difference(logits, answer, wrong), difference(model.hooked(corrupt), answer, wrong)
        found = function(model.hooked, corrupt, cache, partial(difference, answer=answer, wrong=wrong))
    return ((found - base) / (source - base)).numpy()


SWEPT = ("gpt2", "gpt_neo", "gpt_neox", "gpt_neox_sequential", "llama_grouped", "bidirectional")


def of_arch(arch: str) -> list[str]:
    """All sweeps of GPT-2; of the others those that hold the rest as parts, and the residual stream within a block."""
    if arch == "gpt2":
        return list(SWEEPS)
    by_position = ["head_by_pos_every"] if arch in ("gpt_neo", "gpt_neox", "llama_grouped") else []
    return ["block_every", "head_all_pos_every", *by_position, *(["resid_mid"] if arch != "gpt_neox" else [])]


@pytest.mark.parametrize(("arch", "name"), [(arch, name) for arch in SWEPT for name in of_arch(arch)])
def test_every_named_sweep_equals_transformer_lens(arch: str, name: str) -> None:
    model = small_model(arch, dtype="float32")
    data = contrasting(model, *prompts(n=2, length=4)[:2])
    ours, theirs = patch_sweep(model, *data, sites=name).matrix(), of_peer(model, name, *data)
    exists = ~np.isnan(ours)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours[exists], theirs[exists], atol=AGREEMENT)
    padded = 3 * (4 if "by_pos" in name else 1) * 2 * 2  # layers, positions, missing heads, keys and values
    assert (~exists).sum() == (padded if arch == "llama_grouped" and name.endswith("every") else 0) or exists.all()


@pytest.mark.parametrize("arch", ["gpt2", "gpt_neo", "gpt_neox", "llama_grouped", "bidirectional"])
@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_prompts_that_share_a_prefix_and_differ_in_length_equal_full_passes(arch: str, direction: str) -> None:
    model = small_model(arch)
    lengths = (5, 5) if arch == "bidirectional" else (4, 6)
    one, two = (prompts(seed, n=1, length=n, shared=3) for seed, n in enumerate(lengths))
    data = [[*a.tolist(), *b.tolist()] for a, b in zip(one, two, strict=True)]
    asked = {"direction": direction, "metrics": ("logit_diff", "kl", "rank"), "normalize": False}
    for sites in ("head_by_pos_every" if arch == "gpt2" else "head_all_pos_every", "block_every"):
        fast = patch_sweep(model, *data, sites=sites, **asked)
        slow = patch_sweep(model, *data, sites=sites, **asked, full_passes=True)
        assert fast.notes == ()
        assert "full passes" in slow.notes[0]
        for metric in ("logit_diff", "kl", "rank"):
            np.testing.assert_allclose(fast.values[metric], slow.values[metric], atol=1e-9)


@pytest.mark.parametrize("arch", ["gpt2", "gpt_neox", "llama"])
def test_every_site_between_two_models_equals_full_passes(arch: str) -> None:
    base, source = small_model(arch, seed=0), small_model(arch, seed=1)
    clean, corrupt, _, _ = prompts(n=2)
    answers = [[1, 2, 3], [4, 5]]
    patches = [Patch((where,)) for where in component_sites(base)]
    found = [
        patch_sweep(
            base, clean, corrupt, answers, sites=patches, source_model=source, full_passes=full,
            metrics=("sequence_logprob", "exact_match"), normalize=False,
        )
        for full in (False, True)
    ]  # fmt: skip
    np.testing.assert_allclose(found[0].values["sequence_logprob"], found[1].values["sequence_logprob"], atol=1e-8)
    np.testing.assert_array_equal(found[0].values["exact_match"], found[1].values["exact_match"])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_on_several_sites_at_once_equals_full_passes(operation: str) -> None:
    model, data = small_model("gpt_neox"), prompts(shared=2)
    sites = (Site("q", 0, (3, 4), (1,)), Site("mlp_out", 1), Site("pattern", 2, (6,)), Site("resid_post", 2, (6,)))
    patches = [Patch(sites[i:j], operation=operation, amount=0.5) for i in range(4) for j in range(i + 1, 5)]
    patches += [Patch((Site("embed", None, (4,)),), operation=operation, amount=2.0)]
    fast, slow = (patch_sweep(model, *data, sites=patches, full_passes=full) for full in (False, True))
    np.testing.assert_allclose(fast.values["logit_diff"], slow.values["logit_diff"], atol=1e-9)


def test_sites_that_only_transformer_lens_computes_take_full_passes_and_say_so() -> None:
    model = small_model("gpt2")
    before = dict(vars(model.hooked.cfg))
    hooks = ["blocks.1.ln1.hook_scale", "blocks.1.attn.hook_result", "blocks.2.hook_mlp_in", "blocks.1.hook_q_input"]
    sweep = patch_sweep(model, *prompts(), sites=hooks)
    assert len(sweep.notes) == 4
    assert np.isfinite(sweep.matrix()).all()
    assert dict(vars(model.hooked.cfg)) == before
    assert hook_count(model.hooked) == 0


def test_what_writes_nothing_new_has_exactly_no_effect() -> None:
    sweep = patch_sweep(small_model("gpt2"), *prompts(shared=4), sites="resid_pre")
    assert (sweep.matrix()[:, :4] == 0).all()
    assert (sweep.matrix()[1:, 4:] != 0).all()


def test_the_whole_first_residual_is_the_source_run_and_denoising_and_noising_have_their_own_ends() -> None:
    model, data = small_model("gpt2"), prompts()
    for direction in ("denoise", "noise"):
        sweep = patch_sweep(model, *data, sites=["blocks.0.hook_resid_pre"], direction=direction)
        assert sweep.matrix() == pytest.approx([1.0])
        rows = sweep.table.to_pylist()
        assert [row["logit_diff_normalized"] for row in rows] == pytest.approx([1.0] * 3)
    denoise, noise = (patch_sweep(model, *data, direction=d) for d in ("denoise", "noise"))
    assert denoise.ends["logit_diff"] == pytest.approx(noise.ends["logit_diff"][::-1])


def test_the_table_has_a_row_a_patch_and_example_and_ratios_of_means_make_the_matrix() -> None:
    sweep = patch_sweep(small_model("gpt2"), *prompts(), metrics=("logit_diff", "answer_prob"))
    table = sweep.table.to_pydict()
    assert len(sweep.table) == 3 * 7 * 3
    rows = [i for i in range(63) if table["layer"][i] == 1 and table["pos"][i] == 5]
    mean = np.mean([table["answer_prob"][i] for i in rows])
    low, high = sweep.ends["answer_prob"]
    assert sweep.matrix("answer_prob")[1, 5] == pytest.approx((mean - low) / (high - low))


def test_rankings_do_not_hide_negative_effects_and_intervals_hold_the_mean() -> None:
    sweep = patch_sweep(small_model("gpt2"), *prompts(n=6), sites="head_out_all_pos")
    positive, negative, signed = (sweep.ranked(by=by) for by in ("positive", "negative", "signed"))
    assert len(positive) + len(negative) == len(signed) == 12
    assert all(effect < 0 for _, effect in negative)
    assert sorted(positive + negative, key=lambda row: -abs(row[1])) == signed
    low, high = sweep.intervals()
    assert ((low <= sweep.effects()) & (sweep.effects() <= high)).all()


def test_pairs_are_swept_as_their_lists_are() -> None:
    """Alternatives, positions that are read within the prompt, whole answers, either direction."""
    model, pairs = small_model("gpt2"), random_pairs(3, (5, 4), alternatives=2, steps=2)
    pairs = replace(pairs, items=(replace(pairs[0], position=2), *pairs.items[1:]))
    prompt_lists = [[p.clean_ids for p in pairs], [p.corrupt_ids for p in pairs]]
    answers = [[p.answer_ids for p in pairs], [p.wrong_answer_ids for p in pairs]]
    further = {"read_at": [p.read_at for p in pairs], "alternatives": True}
    for direction in ("denoise", "noise"):
        ours = patch_sweep(model, pairs, direction=direction, metrics=("logit_diff", "kl"))
        lists = patch_sweep(
            model, *prompt_lists, *answers, direction=direction, metrics=("logit_diff", "kl"), **further
        )
        assert ours.table.equals(lists.table)
    whole = replace(pairs, items=pairs.items[1:])
    ours = patch_sweep(model, whole, metrics="sequence_logprob")
    lists = patch_sweep(
        model, *(ids[1:] for ids in prompt_lists), [p.answer_sequence_ids for p in whole], metrics="sequence_logprob"
    )
    assert ours.table.equals(lists.table)
    with pytest.raises(ValueError, match="pair 0 is read at position 2, and whole answers are read behind its 5"):
        patch_sweep(model, pairs, metrics="sequence_logprob")


def test_metrics_of_one_token_and_of_whole_answers_are_measured_at_once() -> None:
    """Each pair has both; alone they are the same."""
    model, pairs = small_model("gpt2"), random_pairs(3, 5, steps=2)
    asked = ("logit_diff", "sequence_logprob", "kl")
    both = patch_sweep(model, pairs, metrics=asked, sites="attn_out")
    for metric in asked:
        alone = patch_sweep(model, pairs, metrics=metric, sites="attn_out")
        np.testing.assert_allclose(alone.values[metric], both.values[metric], atol=1e-9)


MISTAKES = [
    (
        {"corrupt_ids": [[1, 2, 3]]},
        "example 0: pair '7 tokens': clean has 7 tokens and corrupt 3",
    ),
    (
        {"sites": ["blocks.0.attn.hook_zz"]},
        "'blocks.0.attn.hook_zz' does not exist in this model; nearest: blocks",
    ),
    ({"sites": "resid_pree"}, "sweep 'resid_pree' does not exist; nearest: resid_pre"),
    ({"sites": "resid_mid", "arch": "gpt_neox"}, "attention and MLP run in parallel"),
    ({"sites": [Patch((Site("z", 7),))]}, "layer 7 is out of range; this model has layers 0 to 2"),
    ({"sites": [Patch((Site("z", 1, (9,)),))]}, "position 9 is out of range; the prompts have positions 0 to 6"),
    ({"sites": [Patch((Site("z", 1, None, (4,)),))]}, "head 4 is out of range; 'z' has 4 heads"),
    ({"corrupt_ids": None}, "the ends of 'logit_diff' coincide"),
    ({"answer_ids": [[3, 4]]}, "the answer is 2 tokens, and 'logit_diff' reads one"),
    ({"wrong_answer_ids": None}, "'logit_diff' reads wrong answers; none were given"),
    ({"metrics": ("speed",)}, "metric 'speed' is not known"),
    ({"answer_ids": [10**30]}, "answers lie between"),
    ({"metrics": ()}, "no metric is named"),
    ({"direction": "sideways"}, "direction 'sideways' is not known; accepted: denoise, noise"),
    ({"source": "gpt_neox"}, "the two models have different shapes"),
    ({"answer_ids": [99]}, "answer id 99 is outside the vocabulary"),
    ({"clean_ids": [], "corrupt_ids": []}, "there is no prompt"),
    ({"read_at": [7]}, "example 0: pair '7 tokens': position 7 is outside its 7 tokens"),
    ({"read_at": [1, 2]}, "there are 2 positions to read for 1 examples"),
    (
        {"read_at": [1], "metrics": ("sequence_logprob",)},
        "pair 0 is read at position 1, and whole answers are read behind its 7",
    ),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_a_mistake_is_refused_in_one_line(changes: dict[str, object], message: str) -> None:
    clean, corrupt, answer, wrong = prompts(n=1)
    changes = dict(changes)
    model = small_model(str(changes.pop("arch", "gpt2")))
    source = small_model(str(changes.pop("source", ""))) if "source" in changes else None
    given = {"clean_ids": clean, "corrupt_ids": corrupt, "answer_ids": answer, "wrong_answer_ids": wrong, **changes}
    if given["corrupt_ids"] is None:
        given["corrupt_ids"] = clean
    with pytest.raises(ValueError, match=r"\w") as refusal:
        patch_sweep(model, source_model=source, **given)  # type: ignore[arg-type]
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_models_of_different_tokenizers_are_refused() -> None:
    one, other = (
        replace(small_model("gpt2"), tokenizer=word_tokenizer([words], r" ?\w+")) for words in ("a b c", "c b a")
    )
    with pytest.raises(ValueError, match="the two models have different tokenizers"):
        patch_sweep(one, *prompts(), source_model=other)


@pytest.mark.parametrize("full", [False, True])
def test_a_mean_counts_only_examples_that_have_the_position(full: bool) -> None:
    """Position 5 of a prompt of 6 tokens has the same mean alone and beside a prompt of 3 tokens."""
    model = small_model("gpt_neox")
    long, short = prompts(1, n=1, length=6), prompts(2, n=1, length=3)
    both = [[*a.tolist(), *b.tolist()] for a, b in zip(long, short, strict=True)]
    sites = (Site("resid_pre", 2, (5,)), Site("z", 1, (5,), (2,)), Site("pattern", 1, (5,)), Site("mlp_out", 0, (3, 5)))
    patches = [Patch((where,), operation="mean") for where in sites]
    patches += [Patch((Site("attn_scores", 1, (5,)),), operation="mean")]
    alone, beside = (
        patch_sweep(model, *data, sites=patches, normalize=False, full_passes=full) for data in (long, both)
    )
    np.testing.assert_allclose(beside.values["logit_diff"][:, 0], alone.values["logit_diff"][:, 0], atol=1e-9)


@pytest.mark.parametrize("full", [False, True])
def test_an_example_without_the_position_counts_in_no_mean(full: bool) -> None:
    """At positions 3 and 4, a prompt of 5 tokens beside one of 3 has the effects that it has alone."""
    model = small_model("gpt2")
    long, short = prompts(1, n=1, length=5), prompts(2, n=1, length=3)
    both = [[*a.tolist(), *b.tolist()] for a, b in zip(long, short, strict=True)]
    beside, alone = (patch_sweep(model, *data, full_passes=full) for data in (both, long))
    n = beside.arranged(beside.counts())
    np.testing.assert_array_equal(n, np.tile([2, 2, 2, 1, 1], (3, 1)))
    for normalized in (True, False):
        here, there = (sweep.matrix(normalized=normalized) for sweep in (beside, alone))
        np.testing.assert_allclose(here[:, 3:], there[:, 3:], atol=1e-8)
        low, high = (beside.arranged(end) for end in beside.intervals(normalized=normalized))
        np.testing.assert_allclose([low[:, 3:], high[:, 3:]], [there[:, 3:]] * 2, atol=1e-8)
    rows = beside.table.to_pylist()
    assert {row["logit_diff_n"] for row in rows if row["pos"] == 4} == {1}
    missing = [row for row in rows if row["pos"] > 2 and row["example"] == 1]
    assert {(row["logit_diff"], row["logit_diff_normalized"]) for row in missing} == {(None, None)}
    assert beside.own_ends()[:, 4].tolist() == pytest.approx(list(alone.ends["logit_diff"]), abs=1e-8)


def test_a_patch_that_an_example_has_only_in_part_has_no_value_there_and_stands_in_no_ranking() -> None:
    data = [[*a.tolist(), *b.tolist()] for a, b in zip(prompts(1, 1, 5), prompts(2, 1, 3), strict=True)]
    patches = [Patch((Site("z", 1, where, (0,)),)) for where in (None, (1, 2), (2, 3))]
    sweep = patch_sweep(small_model("gpt2"), *data, sites=patches)
    np.testing.assert_array_equal(np.isnan(sweep.values["logit_diff"]), [[False, False], [False, False], [False, True]])
    nowhere = replace(sweep, values={"logit_diff": np.full((3, 2), np.nan)})
    assert np.isnan(nowhere.effects()).all()
    assert np.isnan(nowhere.intervals()).all()
    assert nowhere.ranked() == []


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("read", [0, 3])
def test_reading_within_the_prompts_is_reading_the_end_of_shorter_ones(read: int, full: bool) -> None:
    """Later tokens are not seen, so their places have no effect at all."""
    model, (clean, corrupt, *answers) = small_model("gpt_neox"), prompts(n=2, length=5)
    asked = {"sites": "head_by_pos_every", "normalize": False, "full_passes": full}
    within = patch_sweep(model, clean, corrupt, *answers, read_at=[read, read], **asked)
    cut = patch_sweep(model, clean[:, : read + 1], corrupt[:, : read + 1], *answers, **asked)
    position = np.array([patch.sites[0].positions == (p,) for patch in within.patches for p in range(5)])
    position = position.reshape(-1, 5).argmax(1)
    ours, base = within.values["logit_diff"], within.base["logit_diff"]
    np.testing.assert_allclose(ours[position <= read], cut.values["logit_diff"], atol=1e-9)
    np.testing.assert_allclose(ours[position > read], np.tile(base, ((position > read).sum(), 1)), atol=1e-9)


@pytest.mark.parametrize("metric", ["logit_diff", "answer_prob", "logprob_diff", "neg_answer_logit"])
def test_ends_that_only_rounding_tells_apart_are_refused_as_ends_and_empty_as_an_examples_own(metric: str) -> None:
    """The source is the same model, its weights off by a unit in the last place."""
    model, other = (small_model("gpt2", dtype="float32") for _ in range(2))
    with torch.no_grad():
        for weight in other.hooked.parameters():
            weight.mul_(1 + 2**-23)
    clean, corrupt, *answers = prompts(n=4)
    near = {"source_model": other, "metrics": (metric,)}
    with pytest.raises(ValueError, match=rf"the ends of '{metric}' coincide .*resolution"):
        patch_sweep(model, clean, clean, *answers, **near)
    corrupt[1:] = clean[1:]
    sweep = patch_sweep(model, clean, corrupt, *answers, **near)
    own = sweep.table.column(f"{metric}_normalized").to_pylist()
    assert [value is None for value in own] == [False, True, True, True] * (len(own) // 4)


def test_answers_that_are_the_wrong_ones_in_another_order_have_no_contrast() -> None:
    clean, corrupt, *_ = prompts(n=1)
    with pytest.raises(ValueError, match="the ends of 'logit_diff' coincide"):
        patch_sweep(small_model("gpt2"), clean, corrupt, [[1, 2, 3]], [[3, 1, 2]], alternatives=True)


@pytest.mark.parametrize("operation", ["add", "interpolate", "scale"])
def test_sites_of_one_patch_that_meet_are_written_one_after_the_other(operation: str) -> None:
    """The engine writes each place once; where an operation is done twice, full passes do it."""
    sites = (Site("resid_post", 0, (4,)), Site("resid_pre", 1))
    sweep = patch_sweep(small_model("gpt2"), *prompts(), sites=[Patch(sites, operation=operation, amount=0.5)])
    assert sweep.notes == (f"full passes through TransformerLens: '{operation}' is done twice where its sites meet",)
