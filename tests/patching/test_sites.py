from collections import Counter

import pytest
from transformers import AutoModelForCausalLM, GPTNeoXConfig

from memcirc.models import Model, load_model
from memcirc.patching.sites import aliases, component_sites, distinct, hooks_of, site
from tests.models import small_model


def pythia(layers: int = 6) -> Model:
    config = GPTNeoXConfig(
        vocab_size=31, hidden_size=16, intermediate_size=32, num_hidden_layers=layers, num_attention_heads=4,
        max_position_embeddings=16, rotary_pct=0.5,
    )  # fmt: skip
    return load_model(AutoModelForCausalLM.from_config(config), device="cpu")


def test_six_pythia_layers_have_85_sites_55_of_them_distinct_across_models_and_37_within_one() -> None:
    model = pythia()
    sites = component_sites(model)
    assert len(sites) == 85
    assert len(distinct(sites, aliases(sites, model, same_model=False))) == 55
    assert len(distinct(sites, aliases(sites, model, same_model=True))) == 37


@pytest.mark.parametrize("arch", ["gpt2", "gpt_neo", "gpt_neox", "llama_grouped", "attention_only"])
def test_every_hook_is_a_site_that_finds_its_way_back(arch: str) -> None:
    model = small_model(arch)
    for hook in hooks_of(model):
        assert site(hook, model).hook == hook
    left_out = set(model.hooked.hook_dict) - set(hooks_of(model))
    assert {name.split(".")[-1] for name in left_out} <= {"hook_attn_in", "hook_mlp_in", "hook_mlp_out"}


def test_aliases_keep_single_heads_and_positions_apart() -> None:
    model = small_model("gpt2")
    sites = [site("blocks.0.attn.hook_z", model, heads=(0,)), site("blocks.0.attn.hook_z", model),
             site("blocks.0.hook_attn_out", model), site("blocks.0.hook_attn_out", model, positions=(1,))]  # fmt: skip
    leaders = Counter(aliases(sites, model, same_model=True).values())
    assert sorted(leaders.values()) == [1, 1, 2]
