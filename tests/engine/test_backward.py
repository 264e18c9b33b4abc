"""The backward pass by hand, against automatic differentiation of the same tape, and as relevance."""

import pytest
import torch
from torch import Tensor

from memcirc.decoder.weights import Attention
from memcirc.engine.mask_gradients import mask_gradients
from memcirc.engine.request import Request
from memcirc.engine.scoring import Scoring
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from tests.decoder.families import MODELS, loaded
from tests.decoder.test_against_naive import naive_gradients
from tests.models import random_pairs, small_model

PLAIN = ["bloom", "gpt2", "gpt_neo", "gpt_neox", "gptj", "llama", "falcon_grouped", "granite", "gemma2", "olmo2"]


@pytest.mark.parametrize("shared", [0, 4])
@pytest.mark.parametrize("name", PLAIN)
def test_attention_by_hand_is_attention_differentiated(monkeypatch: pytest.MonkeyPatch, name: str, shared: int) -> None:
    model, pairs = loaded(name), random_pairs(2, (6, 7), shared)
    by_hand = mask_gradients(Request(model, pairs, per_example=True), [0.0, 0.6])
    monkeypatch.setattr(Attention, "plain", property(lambda self: False))
    torch.testing.assert_close(mask_gradients(Request(model, pairs, per_example=True), [0.0, 0.6]), by_hand)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "llama", "gemma2", "olmo2", "granite"])
@pytest.mark.parametrize("shared", [0, 3])
def test_gradients_of_all_edges_are_autograds(name: str, shared: int) -> None:
    model, pairs = loaded(name), random_pairs(1, 6, shared)
    found = mask_gradients(Request(model, pairs), [0.3])
    torch.testing.assert_close(found, naive_gradients(model, pairs[0], 0.3, "resample"), atol=1e-10, rtol=1e-8)


def scores(model: Model, pairs: Pairs, alphas: list[float], relevance: bool = False, **replaced: Tensor) -> Tensor:
    scoring = Scoring(Request(model, pairs))
    with torch.no_grad():
        (batch,) = scoring
        put = {name: value.expand(-1, len(alphas), -1, -1) for name, value in replaced.items()}
        tape = batch.forward(torch.tensor(alphas, dtype=torch.float64), replaced=put)
        batch.add(tape, batch.differences(tape.outputs), relevance, put)
    return model.weights.graph.to_matrix(scoring.mean())


def test_at_the_other_end_only_the_edges_into_the_logits_have_a_gradient() -> None:
    """With every mask at 1 no branch reads the run, and nothing that a branch writes reaches another."""
    model = small_model("gpt2")
    found = mask_gradients(Request(model, random_pairs(2, 5), ablation="zero"), [1.0])
    matrix = model.weights.graph.to_matrix(found)
    assert not matrix[:-1].any()
    assert matrix[-1].abs().max() > 0


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox"])
def test_nothing_flows_through_outputs_that_were_put_in_place(name: str) -> None:
    """With the heads and the MLP of layer 1 put in place, edges into them score nothing; edges behind them do."""
    model, pairs = small_model(name), random_pairs(2, 5)
    graph, rows = model.weights.graph, model.weights.graph.rows(1)
    put = torch.zeros(2, 1, 5, 16, dtype=torch.float64)
    found = scores(model, pairs, [0.0], a1=put, m1=put)
    assert not found[rows.query.start : rows.mlp + 1].any()
    assert found[graph.rows(2).query].abs().max() > 0
    assert found[graph.rows(0).mlp].abs().max() > 0
    only = scores(model, pairs, [0.0], m1=put)
    assert not only[rows.mlp].any()
    assert only[rows.query].abs().max() > 0


@pytest.mark.parametrize("name", [*MODELS])
def test_under_relevance_queries_and_keys_carry_nothing(name: str) -> None:
    model, pairs = loaded(name), random_pairs(2, 5)
    graph = model.weights.graph
    found = scores(model, pairs, [0.0], relevance=True)
    for layer in range(graph.shape.n_layers):
        rows = graph.rows(layer)
        assert not found[rows.query.start : rows.key.stop].any()
        assert found[rows.value].abs().max() > 0
        assert found[rows.mlp].abs().max() > 0


def test_relevance_is_conserved_where_a_model_has_no_bias_and_an_identity_for_a_norm() -> None:
    """An attention-only model without norms and biases is linear once its patterns are held: with the ablation values
    zero, the relevance into the logits is the objective itself, and so is that of the input's edges together."""
    model = small_model("attention_only")
    with torch.no_grad():
        for name, parameter in model.hooked.named_parameters():
            if name.split(".")[-1].startswith("b_"):
                parameter.zero_()
    pairs = random_pairs(1, 5)
    scoring = Scoring(Request(model, pairs, ablation="zero"))
    with torch.no_grad():
        (batch,) = scoring
        tape = batch.forward(torch.zeros(1, dtype=torch.float64))
        batch.add(tape, batch.differences(tape.outputs), relevance=True)
    matrix = model.weights.graph.to_matrix(scoring.mean())
    logits = model.logits(torch.tensor([pairs[0].clean_ids]))[0, -1]
    objective = float(logits[pairs[0].answer_ids[0]] - logits[pairs[0].wrong_answer_ids[0]])
    assert float(matrix[-1].sum()) == pytest.approx(objective)
    assert float(matrix[:, 0].sum()) == pytest.approx(objective)
