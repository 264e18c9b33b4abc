"""EAP-IG in both forms, RelP and magnitude: hand-worked numbers, literal forms, and special cases where they agree."""

import pytest
import torch

from memcirc.attribution.eap_ig_activations import activation_gradients
from memcirc.attribution.eap_ig_inputs import input_gradients
from memcirc.attribution.magnitude import difference_norms
from memcirc.attribution.relp import relevance
from memcirc.engine import Request, mask_gradients
from memcirc.graph import graph_of
from tests.engine.literal import Literal, eap_ig_activations, eap_ig_inputs
from tests.micro_models import m2
from tests.models import random_pairs, small_model

ARCHITECTURES = ("gpt2", "gpt_neox", "llama", "attention_only")


def test_one_neuron_has_its_eap_ig_scores() -> None:
    model, pairs = m2()
    names = graph_of(model).edges
    for grid, expected in (("0..m-1", (4.5, 6, 3)), ("1..m", (9, 6, 3))):
        found = input_gradients(Request(model, pairs, grid=grid, steps=2)).tolist()
        scores = dict(zip(names, found, strict=True))
        assert [scores[name] for name in ("input->m0", "m0->logits", "input->logits")] == pytest.approx(expected)


@pytest.mark.parametrize("shared", [0, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_eap_ig_over_inputs_is_its_literal_form(architecture: str, shared: int) -> None:
    model, pairs = small_model(architecture), random_pairs(2, 5, shared)
    for first, grid in enumerate(("0..m-1", "1..m")):
        expected = eap_ig_inputs(model, pairs, 3, first)
        torch.testing.assert_close(input_gradients(Request(model, pairs, "logit_diff", grid=grid, steps=3)), expected)


@pytest.mark.parametrize("shared", [0, 4])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_eap_ig_over_activations_is_its_literal_form(architecture: str, shared: int) -> None:
    model, pairs = small_model(architecture), random_pairs(2, 5, shared)
    expected = eap_ig_activations(model, pairs, 2)
    torch.testing.assert_close(activation_gradients(Request(model, pairs, "logit_diff", steps=2)), expected)


def test_relevance_is_the_gradient_where_nothing_is_nonlinear_but_relu() -> None:
    """Without norms, with uniform attention and ReLU, f(x)/x is f'(x): RelP is EAP."""
    model, pairs = small_model("no_norm"), random_pairs(3, 6, shared=2)
    with torch.no_grad():
        for block in model.hooked.blocks:
            block.attn.W_Q.zero_()
            block.attn.b_Q.zero_()
    eap = mask_gradients(Request(model, pairs, "logit_diff"), [0.0])
    relp = relevance(Request(model, pairs, "logit_diff"))
    keys = torch.tensor(["<k>" in name or "<q>" in name for name in graph_of(model).edges])
    torch.testing.assert_close(relp[~keys], eap[~keys])
    assert (relp[keys] == 0).all()


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_relevance_of_an_input_is_what_its_branch_passes_on(architecture: str) -> None:
    """The rules make every branch linear, so that relevance against zero values is conserved up to biases: without
    biases, the scores of the edges into the logits add up to minus the objective."""
    model, pairs = small_model(architecture), random_pairs(2, 5)
    with torch.no_grad():
        if model.hf is not None:
            model.hf.transformer.ln_f.bias.zero_()
            for block in model.hf.transformer.h:
                block.attn.c_proj.bias.zero_()
        else:
            model.hooked.unembed.b_U.zero_()
    logits = model.logits([pair.clean_ids for pair in pairs])[:, -1]
    objective = torch.stack([z[p.answer_ids[0]] - z[p.wrong_answer_ids[0]] for z, p in zip(logits, pairs, strict=True)])
    scores = relevance(Request(model, pairs, "logit_diff", ablation="zero"))
    into_logits = torch.tensor([name.endswith("->logits") for name in graph_of(model).edges])
    torch.testing.assert_close(scores[into_logits].sum(), objective.mean())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_magnitude_is_the_norm_of_each_sources_difference(architecture: str) -> None:
    model, pairs = small_model(architecture), random_pairs(2, (5, 6), shared=2)
    literal, rows = Literal(model), []
    for pair in pairs:
        p, c = (literal.sources(torch.tensor([ids])) for ids in (pair.corrupt_ids, pair.clean_ids))
        rows.append((p - c).norm(dim=-1).mean(1))
    expected = torch.stack(rows).mean(0)[literal.graph.edge_source]
    torch.testing.assert_close(difference_norms(Request(model, pairs)), expected)


def test_per_example_scores_average_to_the_scores() -> None:
    model, pairs = small_model("gpt_neox"), random_pairs(3, (5, 6), shared=3)
    for method in (
        lambda **options: input_gradients(Request(model, pairs, steps=2, **options)),
        lambda **options: activation_gradients(Request(model, pairs, "logprob_diff", "mean-both", steps=2, **options)),
        lambda **options: relevance(Request(model, pairs, "prob_diff", "mean-all", **options)),
        lambda **options: difference_norms(Request(model, pairs, ablation="zero", **options)),
    ):
        torch.testing.assert_close(method(per_example=True, batch_size=2).mean(0), method())


def test_bfloat16_models_give_float32_scores() -> None:
    model, pairs = small_model("llama", dtype="bfloat16"), random_pairs(2, 5, shared=2)
    for scores in (
        input_gradients(Request(model, pairs, "logit_diff", steps=2)),
        activation_gradients(Request(model, pairs, "logit_diff", steps=2)),
        relevance(Request(model, pairs, "logit_diff")),
        difference_norms(Request(model, pairs)),
    ):
        assert scores.dtype == torch.float32
        assert torch.isfinite(scores).all()


def test_bad_input_is_named() -> None:
    model, pairs = small_model("gpt2"), random_pairs(2, 5)
    with pytest.raises(ValueError, match="steps 0 is out of range"):
        input_gradients(Request(model, pairs, "logit_diff", steps=0))
    with pytest.raises(ValueError, match=r"grid '0\.\.m' is not known"):
        input_gradients(Request(model, pairs, "logit_diff", grid="0..m", steps=2))
    with pytest.raises(ValueError, match="not defined for ablation 'zero'"):
        input_gradients(Request(model, pairs, "logit_diff", ablation="zero", steps=2))
    with pytest.raises(ValueError, match="steps 0 is out of range"):
        activation_gradients(Request(model, pairs, "logit_diff", steps=0))
