"""A model beside its twin: what a twin must share, and what holds of every circuit between the two."""

from copy import deepcopy

import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.circuits.minimal import find_minimal
from memcirc.circuits.runner import circuit_runner
from memcirc.models import Model, load_model
from memcirc.origin import check_origin
from memcirc.pairs.record import Pair, Pairs
from memcirc.twins import beside, check_twin, exchanged
from tests.decoder.families import loaded
from tests.models import random_pairs, small_model

NAMES = ["gpt2", "gpt_neox", "llama", "gemma2", "olmo2"]


def near_twin(name: str, share: float = 0.3) -> Model:
    """A model whose weights are a mixture of the model's and of another's."""
    model, other = loaded(name), loaded(name, seed=7)
    mixed = deepcopy(model.hf)
    with torch.no_grad():
        for ours, theirs in zip(mixed.parameters(), other.hf.parameters(), strict=True):
            ours.lerp_(theirs, share)
    return load_model(mixed, device="cpu", dtype="float64")


def same_prompts(n: int = 3) -> Pairs:
    """Pairs of one prompt twice, as task ``learned`` has them."""
    return Pairs(tuple(Pair(p.clean_ids, p.clean_ids, p.answer_ids, p.wrong_answer_ids) for p in random_pairs(n, 6)))


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_the_model_and_nothing_the_twin_up_to_its_last_norm_and_unembedding(name: str) -> None:
    model, pairs = beside(loaded(name), near_twin(name)), same_prompts()
    ids = torch.tensor([pair.clean_ids for pair in pairs])
    none, every = torch.zeros(1, model.weights.graph.n_edges).bool(), torch.ones(1, model.weights.graph.n_edges).bool()
    tree, edge = (circuit_runner(model, pairs, mode=mode, ablation="twin") for mode in ("tree", "edge"))
    torch.testing.assert_close(tree.logits(every)[0], model.logits(ids)[:, -1], atol=1e-10, rtol=1e-9)
    torch.testing.assert_close(edge.logits(none)[0], model.twin.logits(ids)[:, -1], atol=1e-10, rtol=1e-9)
    own_end = deepcopy(model.hf)
    head, theirs = own_end.get_output_embeddings(), model.twin.hf.get_output_embeddings()
    if not own_end.config.tie_word_embeddings and model.weights.blocks[0].attention.out.bias is None:
        twin_stream = deepcopy(model.twin.hf)
        twin_stream.get_output_embeddings().weight.data.copy_(head.weight)
        twin_stream.model.norm.weight.data.copy_(own_end.model.norm.weight)
        expected = load_model(twin_stream, device="cpu", dtype="float64").logits(ids)[:, -1]
        torch.testing.assert_close(tree.logits(none)[0], expected, atol=1e-10, rtol=1e-9)
    assert not torch.equal(head.weight, theirs.weight)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reverse", [False, True])
def test_integrated_gradients_add_up_to_the_difference_of_the_ends(name: str, reverse: bool) -> None:
    """Completeness: with every mask moved from 0 to 1 together, the integral of the gradients is the change."""
    model, pairs = beside(loaded(name), near_twin(name, 0.05)), same_prompts(2)
    steps = 200
    scores = attribute(model, pairs, "mask-ig", steps=steps, ablation="twin", reverse=reverse)
    ends = [attribute(model, pairs, "mask-ig", steps=1, ablation="twin", reverse=reverse)]
    integral = (scores.values.double().sum() - ends[0].values.double().sum() / 2) / steps
    runner = circuit_runner(model, pairs, mode="tree", ablation="twin", reverse=reverse)
    measured = runner.ends("logit_diff")
    assert float(integral) == pytest.approx(measured.everything - measured.nothing, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "llama_ungrouped"])
@pytest.mark.parametrize("mode", ["tree", "edge"])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_peer_given_the_twins_values_says_the_same(name: str, mode: str, reverse: bool) -> None:
    model, pairs = beside(small_model(name), small_model(name, seed=3)), random_pairs(3)
    ours = attribute(model, pairs, "mask-ig", steps=2, ablation="twin", reverse=reverse)
    theirs = attribute(model, pairs, "mask-ig", steps=2, ablation="twin", reverse=reverse, engine="auto-circuit")
    largest = float(theirs.values.abs().max())
    torch.testing.assert_close(ours.values, theirs.values, atol=largest * 1e-9, rtol=0)
    circuits = [ours.top(5), ours.top(40)]
    runs = [
        circuit_runner(model, pairs, mode=mode, reverse=reverse, ablation="twin", engine=engine).logits(circuits)
        for engine in ("native", "auto-circuit")
    ]
    torch.testing.assert_close(*runs, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("method", ["eap", "clean-corrupted", "eap-ig-activations", "relp", "magnitude", "exact"])
def test_methods_of_values_take_the_twins(method: str) -> None:
    """Against a twin whose values are zero: an embedding and output matrices of nothing."""
    model = loaded("llama")
    silent = deepcopy(model.hf)
    with torch.no_grad():
        silent.model.embed_tokens.weight.zero_()
        for layer in silent.model.layers:
            for parameter in (layer.self_attn.o_proj.weight, *layer.mlp.down_proj.parameters()):
                parameter.zero_()
    twin = load_model(silent, device="cpu", dtype="float64")
    found = attribute(model, same_prompts(), method, ablation="twin", twin=twin)
    expected = attribute(model, same_prompts(), method, ablation="zero")
    largest = float(expected.values.abs().max())
    torch.testing.assert_close(found.values, expected.values, atol=1e-9 * largest, rtol=1e-9)


def test_a_method_that_moves_the_embedding_is_refused() -> None:
    with pytest.raises(ValueError, match="method 'eap-ig-inputs' is not defined for ablation 'twin'"):
        attribute(loaded("llama"), same_prompts(), "eap-ig-inputs", ablation="twin", twin=near_twin("llama"))


def test_a_search_runs_against_the_twin_and_results_name_it() -> None:
    model, twin, pairs = loaded("llama"), near_twin("llama"), same_prompts()
    scores = attribute(model, pairs, ablation="twin", twin=twin)
    found = find_minimal(model, pairs, scores, mode="tree", ablation="twin", twin=twin)
    runner = circuit_runner(model, pairs, mode="tree", ablation="twin", twin=twin)
    assert found.faithfulness == pytest.approx(float(runner.faithfulness([found.circuit])[0]))
    assert scores.origin["twin_fingerprint"] == twin.fingerprint != scores.origin["model_fingerprint"]


def test_a_circuit_found_against_another_twin_is_refused() -> None:
    model, pairs = loaded("llama"), same_prompts()
    scores = attribute(model, pairs, "eap", ablation="twin", twin=near_twin("llama"))
    check_origin(beside(model, near_twin("llama")), scores.origin, "scores")
    with pytest.raises(ValueError, match=r"scores found against twin .*, the twin at hand is"):
        check_origin(beside(model, near_twin("llama", 0.2)), scores.origin, "scores")


def test_a_model_keeps_what_it_has_made_beside_a_twin() -> None:
    model = loaded("llama")
    pair = beside(model, near_twin("llama"))
    assert pair.weights is model.weights
    assert exchanged(exchanged(pair)).weights is model.weights
    assert exchanged(pair).fingerprint == pair.twin.fingerprint


@pytest.mark.parametrize(
    ("ablation", "twin", "message"),
    [
        ("zero", "llama", "ablation 'zero' takes no values of a twin"),
        ("twin", None, "ablation 'twin' takes the values of a twin, and model .* has none"),
    ],
)
def test_a_twin_goes_with_its_ablation(ablation: str, twin: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        beside(loaded("llama"), twin and near_twin(twin), ablation)


def test_what_is_no_twin_is_refused_with_the_part_that_differs() -> None:
    model = loaded("llama")
    with pytest.raises(ValueError, match=r"has the weights of .* itself: nothing was learned"):
        check_twin(model, loaded("llama"))
    with pytest.raises(ValueError, match=r"is no twin of .*: dtype 'float32', not 'float64'"):
        check_twin(model, loaded("llama", dtype="float32", seed=7))
    with pytest.raises(ValueError, match=r"is no twin of .*: numbers of a head"):
        check_twin(model, loaded("gemma2"))
    with pytest.raises(ValueError, match=r"is no twin of .*: heads, keys and values"):
        check_twin(model, loaded("llama", grouped_kv=True, seed=7))
    other = deepcopy(loaded("llama", seed=7).hf)

    other.config.rms_norm_eps = 0.1
    for norm in [m for m in other.modules() if hasattr(m, "variance_epsilon")]:
        norm.variance_epsilon = 0.1
    with pytest.raises(ValueError, match=r"is no twin of .*: what blocks compute"):
        check_twin(model, load_model(other, device="cpu", dtype="float64"))
    turned = deepcopy(loaded("llama", seed=7).hf)
    turned.model.rotary_emb.inv_freq.mul_(0.5)
    with pytest.raises(ValueError, match="positions are turned by other angles"):
        check_twin(model, load_model(turned, device="cpu", dtype="float64"))
