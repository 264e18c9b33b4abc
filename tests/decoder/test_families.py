"""Every model type: the same logits as transformers, and what is refused."""

from contextlib import nullcontext

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from memcirc.attribution.attribute import attribute
from memcirc.decoder.families import FAMILIES
from memcirc.engine.prepared import prepare
from memcirc.graph import graph_of
from memcirc.interventions import RunSettings
from memcirc.models import load_model
from tests.decoder.families import BASE, CONTEXT, D_VOCAB, MODELS, loaded, nothing_in_float32, small
from tests.models import random_pairs

IDS = torch.randint(0, D_VOCAB, (2, 14), generator=torch.Generator().manual_seed(3))


def test_every_type_has_a_model_here() -> None:
    assert {kind for kind, _ in MODELS.values()} == set(FAMILIES)


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_transformers(name: str) -> None:
    for dtype, tolerance, computed in (("float64", 1e-10, nothing_in_float32), ("float32", 1e-5, nullcontext)):
        model = loaded(name, dtype=dtype)
        assert model.hf is not None
        with computed(), torch.no_grad():
            expected, found = model.hf(input_ids=IDS, use_cache=False).logits, model.logits(IDS)
        if name == "bloom":  # whose GELU has a constant of eight digits in transformers
            tolerance = max(tolerance, 1e-8)
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_of_a_configuration_is_that_of_the_model(name: str) -> None:
    for grouped in (False, True):
        model = loaded(name, grouped)
        assert model.hf is not None
        assert graph_of(model.hf.config, grouped_kv=grouped) == graph_of(model)


@pytest.mark.parametrize("name", MODELS)
def test_the_matrices_are_the_parameters_themselves(name: str) -> None:
    """Whatever is read from a parameter lies in its memory, so that a model is held once."""
    model = loaded(name, dtype="float32")
    own = {p.untyped_storage().data_ptr() for p in model.source.parameters()}
    for block in model.weights.blocks:
        read = [block.attention.out, block.attention.query, block.attention.key, block.attention.value]
        if block.mlp is not None:
            read += [block.mlp.up, block.mlp.down] + [block.mlp.gate] * (block.mlp.gate is not None)
        copied = [each for each in read if each.weight.untyped_storage().data_ptr() not in own]
        assert not copied or name == "falcon_grouped"


def test_a_window_hides_what_came_before() -> None:
    """The first token is out of sight of all that is read from the last one, in a model whose layers all see two."""
    facts = {**BASE, "sliding_window": 2, "num_hidden_layers": 2, "num_key_value_heads": 2}
    hf = AutoModelForCausalLM.from_config(AutoConfig.for_model("mistral", **facts), attn_implementation="eager")
    model, ids = load_model(hf.eval(), device="cpu"), torch.tensor([[1, 2, 3, 4, 5], [9, 2, 3, 4, 5]])
    assert model.n_ctx == CONTEXT
    logits = model.logits(ids)
    torch.testing.assert_close(logits[0, 3:], logits[1, 3:])
    assert (logits[0, 1] - logits[1, 1]).abs().max() > 1e-6


def test_rotary_scaling_that_depends_on_the_length_ends_the_context() -> None:
    assert loaded("phi3_long").n_ctx == 16


@pytest.mark.parametrize(
    ("kind", "facts", "message"),
    [
        ("mixtral", {"num_local_experts": 2}, r"'mixtral' is not supported: experts \(num_local_experts\)"),
        ("qwen3_moe", {"num_experts": 2, "moe_intermediate_size": 8, "num_experts_per_tok": 1}, "experts"),
        ("mamba", {"state_size": 4}, r"state-space layers \(state_size\)"),
        ("xglm", {"d_model": 16, "num_layers": 1, "attention_heads": 2}, "'xglm' is not supported; supported: bloom, "),
        (
            "opt",
            {"do_layer_norm_before": False, "ffn_dim": 24, "word_embed_proj_dim": 16},
            "do_layer_norm_before=False",
        ),
        ("opt", {"ffn_dim": 24, "word_embed_proj_dim": 8}, "word_embed_proj_dim=8"),
        ("olmo", {"clip_qkv": 1.0}, "clip_qkv=1.0"),
        ("bloom", {"apply_residual_connection_post_layernorm": True, "n_head": 4, "n_layer": 1}, "residual_connection"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "use_bidirectional_attention=True"),
        ("olmo2", {"attention_bias": True}, "output bias under a norm"),
        ("llama", {"hidden_act": "quick_gelu"}, "activation function 'quick_gelu' is not supported"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(kind: str, facts: dict[str, object], message: str) -> None:
    hf = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**BASE, **facts}))
    with pytest.raises(ValueError, match=message):
        load_model(hf, device="cpu")


def test_weights_that_are_changed_are_read_anew() -> None:
    model = loaded("gemma")
    assert model.hf is not None
    before = model.weights
    assert model.weights is before
    with torch.no_grad():
        model.hf.model.norm.weight.add_(1)
    with torch.no_grad():
        torch.testing.assert_close(model.logits(IDS), model.hf(input_ids=IDS).logits, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_that_is_changed_or_replaced_is_read_anew(name: str) -> None:
    model = loaded(name)
    assert model.hf is not None
    for change in (lambda p: p.mul_(1.25), lambda p: setattr(p, "data", p.data * 0.5)):
        before = model.fingerprint
        with torch.no_grad():
            for parameter in model.hf.parameters():
                change(parameter)
            torch.testing.assert_close(model.logits(IDS), model.hf(input_ids=IDS).logits, atol=1e-4, rtol=1e-4)
        assert model.fingerprint != before


def test_what_is_written_through_data_is_not_counted_by_torch_and_copies_stay() -> None:
    model = loaded("gemma")
    assert model.hf is not None
    before, logits = model.fingerprint, model.logits(IDS)
    model.hf.model.norm.weight.data.add_(1)
    assert torch.equal(model.logits(IDS), logits)
    assert model.fingerprint == before


def test_all_that_is_made_of_weights_is_made_anew_when_they_change() -> None:
    model = loaded("gpt_neox", dtype="float32")
    assert model.hf is not None
    before, fingerprint = model.hooked, model.fingerprint
    assert model.hooked is before
    with torch.no_grad():
        model.hf.gpt_neox.layers[0].mlp.dense_4h_to_h.weight.mul_(2)
    assert model.fingerprint != fingerprint
    torch.testing.assert_close(model.hooked(IDS, prepend_bos=False), model.logits(IDS), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("length", [17, 24])
def test_logits_beyond_the_context_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"a prompt has {length} positions; the model reads at most 16"):
        loaded("phi3_long").logits([[1] * length])


@pytest.mark.parametrize("name", MODELS)
def test_half_precision_runs_and_is_near(name: str) -> None:
    """Scores and circuits in bfloat16, against those of the same rounded weights in float32."""
    hf, pairs = small(name, torch.bfloat16), random_pairs(2, 6, shared=1)
    half, exact = load_model(hf, device="cpu", dtype="auto"), load_model(hf, device="cpu", dtype="float32")
    found, expected = (attribute(model, pairs, "mask-ig", steps=2).values for model in (half, exact))
    assert torch.corrcoef(torch.stack([found.float(), expected.float()]))[0, 1] > 0.97
    kept = torch.rand(1, half.weights.graph.n_edges, generator=torch.Generator().manual_seed(1)) < 0.5
    for mode in ("tree", "edge"):
        found, expected = (
            prepare(model, pairs, RunSettings(mode, "zero")).logits(kept).float() for model in (half, exact)
        )
        assert (found - expected).square().mean().sqrt() < 0.2 * expected.std()
