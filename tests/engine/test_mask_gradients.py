"""Mask gradients: AutoCircuit's numbers, and what must hold of them by their definition."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.peers import AutoCircuit
from memcirc.engine import Request, mask_gradients, prepare
from memcirc.graph import graph_of
from memcirc.interop import auto_circuit
from memcirc.interventions import ABLATIONS, RunSettings
from memcirc.metrics import DIFFERENTIABLE, Answers, Labels, Metric
from memcirc.models import load_model
from memcirc.pairs.record import Pairs
from tests.engine.sampling import pairwise
from tests.models import ARCHITECTURES, random_pairs, small_model, small_pair

PEERS = [name for name in ARCHITECTURES if name != "llama_grouped"]
GRIDS = ([0.0], [0.0, 1.0], [0.0, 1 / 3, 2 / 3, 1.0], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
OBJECTIVES = ("logit_diff", "answer_prob", "neg_wrong_answer_logit", "logprob_diff", "kl", "sequence_logprob")
PREFIXES = (0, 4, 5)


def agrees_with_autocircuit(architecture: str, ablation: str, alphas: list[float], objective: str, shared: int) -> None:
    if ablation.startswith("mean") and objective == "sequence_logprob":
        objective = "prob_diff"
    model = small_pair(architecture) if ablation == "twin" else small_model(architecture)
    lengths = 6 if architecture == "bidirectional" else (6, 7, 6)
    pairs = random_pairs(3, lengths, shared, alternatives=2, steps=3)
    expected = auto_circuit.mask_gradients(Request(model, pairs, objective, ablation), alphas)
    actual = mask_gradients(Request(model, pairs, objective, ablation), alphas)
    # kl at alpha = 0 is the reference itself: all its scores are 0 but for rounding
    assert (actual - expected).abs().max() <= max(1e-9 * float(expected.abs().max()), 1e-14)


SAMPLE = pairwise(PEERS, tuple(ABLATIONS), range(len(GRIDS)), OBJECTIVES, PREFIXES)


@pytest.mark.parametrize(("architecture", "ablation", "grid", "objective", "shared"), SAMPLE[: len(PEERS)])
def test_scores_are_autocircuits(architecture: str, ablation: str, grid: int, objective: str, shared: int) -> None:
    agrees_with_autocircuit(architecture, ablation, GRIDS[grid], objective, shared)


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("grid", range(len(GRIDS)))
@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("architecture", PEERS)
def test_scores_are_autocircuits_everywhere(architecture: str, ablation: str, grid: int, objective: str) -> None:
    agrees_with_autocircuit(architecture, ablation, GRIDS[grid], objective, shared=len(ablation) % 6)


@pytest.mark.parametrize("answer_function", ["avg_diff", "avg_val"])
@pytest.mark.parametrize("grad_function", ["logit", "prob", "logprob"])
def test_scores_are_those_of_autocircuits_own_function(grad_function: str, answer_function: str) -> None:
    """One batch, as its loader makes it, through ``mask_gradient_prune_scores`` itself."""
    model, pairs = small_model("gpt2"), random_pairs(3, 6)
    peer = AutoCircuit(model, pairs)
    from auto_circuit.prune_algos.mask_gradient import mask_gradient_prune_scores

    found = mask_gradient_prune_scores(
        peer.model, peer.loader, None, grad_function, answer_function, integrated_grad_samples=3
    )
    objective = f"{grad_function}_diff" if answer_function == "avg_diff" else f"answer_{grad_function}"
    scores = mask_gradients(Request(model, pairs, objective), GRIDS[2])
    for name, rows in peer.as_scores(graph_of(model), scores).items():
        assert (found[name] - rows).abs().max() <= 1e-9 * scores.abs().max()


@pytest.mark.parametrize("shared", PREFIXES)
def test_grouped_keys_and_values_sum_the_scores_of_their_heads(shared: int) -> None:
    grouped, ungrouped = small_model("llama_grouped"), small_model("llama_ungrouped")
    pairs = random_pairs(3, 6, shared)
    few = graph_of(grouped).to_matrix(mask_gradients(Request(grouped, pairs, "logit_diff"), [0.3]))
    many = graph_of(ungrouped).to_matrix(mask_gradients(Request(ungrouped, pairs, "logit_diff"), [0.3]))
    names = [name.replace("<k>", "<group>") for name in graph_of(ungrouped).destinations]
    assert len(names) == len(many)
    few_rows, many_rows = iter(few), iter(many)
    for _ in range(3):
        for heads, group in ((4, 1), (4, 2), (4, 2)):
            for _ in range(heads // group):
                row = sum(next(many_rows) for _ in range(group))
                torch.testing.assert_close(next(few_rows), row)
        torch.testing.assert_close(next(few_rows), next(many_rows))
    torch.testing.assert_close(next(few_rows), next(many_rows))


def test_scores_in_float32_agree_to_a_thousandth() -> None:
    pairs = random_pairs(3, 6)
    for architecture in ("gpt2", "gpt_neox", "llama"):
        exact = mask_gradients(Request(small_model(architecture), pairs, "logit_diff"), GRIDS[2])
        single = mask_gradients(Request(small_model(architecture, dtype="float32"), pairs, "logit_diff"), GRIDS[2])
        assert single.dtype == torch.float32
        assert (single - exact).abs().max() <= 1e-3 * exact.abs().max()


def test_scores_of_a_bfloat16_model_are_float32_and_near() -> None:
    pairs = random_pairs(3, 6, shared=3)
    exact_model = small_model("gpt2", dtype="float32")
    exact = mask_gradients(Request(exact_model, pairs, "logit_diff"), [0.0, 0.5])
    half = mask_gradients(
        Request(load_model(exact_model.hf, device="cpu", dtype="bfloat16"), pairs, "logit_diff"), [0.0, 0.5]
    )
    assert half.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(half, exact, dim=0) > 0.99


@given(seed=st.integers(0, 999), lengths=st.lists(st.integers(2, 9), min_size=2, max_size=4), shared=st.integers(0, 8))
@settings(max_examples=6, deadline=None)
def test_a_batch_equals_its_members_one_by_one(seed: int, lengths: list[int], shared: int) -> None:
    model = small_model("gpt_neo")
    pairs = random_pairs(len(lengths), tuple(lengths), shared, seed)
    together = mask_gradients(Request(model, pairs, "logit_diff", per_example=True), [0.0, 0.4])
    alone = [mask_gradients(Request(model, pairs[i : i + 1], "logit_diff"), [0.0, 0.4]) for i in range(len(pairs))]
    torch.testing.assert_close(together, torch.stack(alone))
    by_two = mask_gradients(Request(model, pairs, "logit_diff", batch_size=2), [0.0, 0.4])
    torch.testing.assert_close(together.mean(0), by_two)


@given(seed=st.integers(0, 999), shared=st.integers(0, 7), architecture=st.sampled_from(["gpt2", "gpt_neox", "llama"]))
@settings(max_examples=6, deadline=None)
def test_reusing_the_prefix_changes_nothing(seed: int, shared: int, architecture: str) -> None:
    model = small_model(architecture)
    reused = random_pairs(1, 8, shared, seed)
    other = random_pairs(6, 8, 0, seed + 1)
    whole = mask_gradients(
        Request(model, Pairs((*reused.items, *other.items)), "prob_diff", per_example=True), [0.3, 1.0]
    )[0]
    torch.testing.assert_close(mask_gradients(Request(model, reused, "prob_diff"), [0.3, 1.0]), whole)


@pytest.mark.parametrize("architecture", ["gpt2", "attention_only"])
def test_integrated_gradients_are_complete(architecture: str) -> None:
    """With g_i the sum of all scores at a = i/k, the trapezoid of g tends to objective(clean) - objective(corrupt), its
    error falling fourfold when k doubles."""
    model = small_model(architecture)
    pairs = random_pairs(2, 5)
    ends = prepare(model, pairs, RunSettings("tree")).logits(
        torch.stack([torch.ones(graph_of(model).n_edges), torch.zeros(graph_of(model).n_edges)]).bool()
    )
    clean, corrupt = Metric.parse("logit_diff").of_position(ends, Labels(Answers.of(pairs, model.d_vocab))).mean(1)

    def error(k: int) -> float:
        total = sum(float(mask_gradients(Request(model, pairs, "logit_diff"), [i / k]).sum()) for i in (0, k)) / 2
        inner = mask_gradients(Request(model, pairs, "logit_diff"), [i / k for i in range(1, k)]).sum()
        return float((inner + total) / k - (clean - corrupt))

    assert abs(error(128)) < 0.02 * abs(float(clean - corrupt)) + 1e-3
    assert 3 < error(64) / error(128) < 5


def test_swapping_answers_flips_every_score() -> None:
    model, pairs = small_model("llama"), random_pairs(3, 6)
    swapped = Pairs(tuple(replace(p, answer_ids=p.wrong_answer_ids, wrong_answer_ids=p.answer_ids) for p in pairs))
    for objective in ("logit_diff", "prob_diff", "logprob_diff"):
        scores = mask_gradients(Request(model, pairs, objective), [0.0, 0.5])
        torch.testing.assert_close(mask_gradients(Request(model, swapped, objective), [0.0, 0.5]), -scores)
        torch.testing.assert_close(mask_gradients(Request(model, pairs, f"neg_{objective}"), [0.0, 0.5]), -scores)


def test_scaling_the_unembedding_scales_logit_scores() -> None:
    model = small_model("gpt_neox")
    pairs = random_pairs(2, 6)
    scores = mask_gradients(Request(model, pairs, "logit_diff"), [0.2])
    with torch.no_grad():
        model.hooked.unembed.W_U.mul_(3)
        model.hooked.unembed.b_U.mul_(3)
    torch.testing.assert_close(mask_gradients(Request(model, pairs, "logit_diff"), [0.2]), 3 * scores)


@pytest.mark.parametrize("objective", DIFFERENTIABLE)
def test_every_objectives_scores_integrate_to_its_own_difference(objective: str) -> None:
    model, pairs = small_model("gpt2"), random_pairs(2, 5, steps=2)
    n_edges, sequence = graph_of(model).n_edges, objective == "sequence_logprob"
    kept = torch.stack([torch.ones(n_edges), torch.zeros(n_edges)]).bool()
    logits = prepare(model, pairs, RunSettings("tree"), sequence=sequence).logits(kept)
    if sequence:
        targets = torch.tensor([pair.answer_sequence_ids for pair in pairs])
        values = Metric.parse(objective)(logits, Labels(None, targets, torch.ones_like(targets).bool()))
    else:
        labels = Labels(Answers.of(pairs, model.d_vocab), reference=logits[0])
        values = Metric.parse(objective).of_position(logits, labels)
    k = 24
    ends = sum(float(mask_gradients(Request(model, pairs, objective), [a]).sum()) for a in (0.0, 1.0)) / 2
    inner = float(mask_gradients(Request(model, pairs, objective), [i / k for i in range(1, k)]).sum())
    clean, corrupt = values.mean(1).tolist()
    assert (inner + ends) / k == pytest.approx(clean - corrupt, rel=0.05, abs=1e-3)


def test_nothing_is_changed_and_inference_mode_is_no_obstacle() -> None:
    model, pairs = small_model("gpt2"), random_pairs(2, 5)
    before = {name: p.clone() for name, p in model.hooked.named_parameters()}
    with torch.inference_mode():
        inside = mask_gradients(Request(model, pairs, "logit_diff"), [0.0])
    torch.testing.assert_close(mask_gradients(Request(model, pairs, "logit_diff"), [0.0]), inside)
    for name, parameter in model.hooked.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alphas": [1.5]}, "mask value 1.5 is out of range"),
        ({"objective": "correct"}, "metric 'correct' is not known"),
        ({"ablation": "median"}, "ablation 'median' is not known"),
        ({"reference": random_pairs(2, 5)}, "takes no reference"),
        ({"batch_size": 0}, "batch_size 0 is out of range"),
        ({"pairs": Pairs(())}, "at least one pair"),
        ({"pairs": random_pairs(1, 25)}, "reads at most 24"),
        ({"pairs": random_pairs(2, 7), "ablation": "mean-both", "reference": random_pairs(2, 5)}, "at least as long"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, object], message: str) -> None:
    told = {"pairs": random_pairs(2, 5), "objective": "logit_diff", **arguments}
    alphas = told.pop("alphas", [0.0])
    with pytest.raises(ValueError, match=message):
        mask_gradients(Request(small_model("gpt2"), **told), alphas)  # type: ignore[arg-type]
