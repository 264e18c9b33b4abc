from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
)

import memcirc
from memcirc.graph import graph_of
from memcirc.models import load_model
from memcirc.pairs.record import Pair, Pairs
from memcirc.pretrained import weights_stamp
from memcirc.tokenizers import tokenizer_stamp
from tests.models import HF_MODELS, config, random_pairs


def random_hf(name: str) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config(name)).eval()


@pytest.mark.parametrize("name", HF_MODELS)
def test_both_forms_of_every_architecture_agree(name: str) -> None:
    model = load_model(random_hf(name), device="cpu")
    ids = torch.randint(0, model.d_vocab, (2, 20), generator=torch.Generator().manual_seed(1))
    assert model.hf is not None
    torch.testing.assert_close(model.hooked(ids, prepend_bos=False), model.logits(ids), atol=1e-5, rtol=1e-4)
    assert graph_of(model) == graph_of(config(name))


def test_a_folder_loads_as_the_object_it_was_saved_from(tmp_path: Path) -> None:
    hf = random_hf("gpt_neo")
    hf.save_pretrained(tmp_path)
    assert load_model(str(tmp_path), device="cpu").fingerprint == load_model(hf, device="cpu").fingerprint


def test_the_callers_model_is_left_as_it_was() -> None:
    hf = random_hf("gpt2").train()
    load_model(hf, device="cpu", dtype="float64")
    assert hf.training
    assert next(hf.parameters()).dtype == torch.float32
    assert next(hf.parameters()).requires_grad


def test_keys_and_values_are_ungrouped_unless_asked() -> None:
    hf = random_hf("llama_grouped")
    assert graph_of(load_model(hf, device="cpu")).shape.n_kv_heads == 4
    assert graph_of(load_model(hf, device="cpu", grouped_kv=True)).shape.n_kv_heads == 2


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    GPT2Config().save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="has no weights"):
        load_model(str(tmp_path))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no config\.json"):
        load_model(str(tmp_path))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match="'no/such-model' is neither a local folder nor"):
        load_model("no/such-model")


def test_an_unsupported_architecture_is_refused_with_the_supported_ones() -> None:
    small = BertConfig(
        hidden_size=8, num_attention_heads=2, num_hidden_layers=1, intermediate_size=8, vocab_size=9, is_decoder=True
    )
    with pytest.raises(ValueError, match="'bert' is not supported; supported: bloom, cohere, falcon, gemma"):
        load_model(AutoModelForCausalLM.from_config(small), device="cpu")


def test_llama_with_biases_that_transformer_lens_would_drop_has_no_hooked_form() -> None:
    biased = LlamaConfig(
        vocab_size=9,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        attention_bias=True,
    )
    model = load_model(LlamaForCausalLM(biased), device="cpu")
    with pytest.raises(ValueError, match="attention_bias=True is not supported"):
        _ = model.hooked


def test_broken_weights_are_refused() -> None:
    hf = random_hf("gpt2")
    with torch.no_grad():
        hf.lm_head.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"NaN or infinite values in the weight transformer\.wte\.weight"):
        load_model(hf, device="cpu")


@pytest.mark.parametrize("ids", [[1, 2, 3], [[1, 2, 3]], np.array([[1, 2, 3]], np.uint16), torch.tensor([[1, 2, 3]])])
def test_logits_are_of_lists_arrays_and_tensors(ids: object) -> None:
    model = load_model(random_hf("gpt2"), device="cpu")
    torch.testing.assert_close(model.logits(ids), model.logits(torch.tensor([[1, 2, 3]])))


@pytest.mark.parametrize("ids", [[[1.0, 2.0]], [[True]], "12", [[1], [1, 2]], [[31]], [[-1]], np.ones((1, 2)), [[[1]]]])
def test_logits_of_what_are_no_ids_are_refused(ids: object) -> None:
    with pytest.raises(ValueError, match=r"needed|whole numbers|outside the vocabulary"):
        load_model(random_hf("gpt2"), device="cpu").logits(ids)


def windowed(model_type: str, context: int, window: int) -> PreTrainedModel:
    torch.manual_seed(0)
    kind = {"mistral": MistralConfig, "qwen2": Qwen2Config}[model_type]
    told = {"use_sliding_window": True, "max_window_layers": 0} if model_type == "qwen2" else {}
    given = config(model_type).to_dict() | told | {"sliding_window": window, "max_position_embeddings": context}
    given.pop("layer_types", None)
    return AutoModelForCausalLM.from_config(kind(**given), attn_implementation="eager").eval()


@pytest.mark.parametrize("model_type", ["mistral", "qwen2"])
@pytest.mark.parametrize(("context", "window", "read"), [(24, 64, 24), (24, 24, 24), (24, 8, 8)])
def test_a_sliding_window_ends_what_the_hooked_form_reads(
    model_type: str, context: int, window: int, read: int
) -> None:
    """Up to the window TransformerLens' form, which attends to everything, is the same model; beyond it, another."""
    hf = windowed(model_type, context, window)
    model = load_model(hf, device="cpu")
    assert (model.n_ctx, model.hooked.cfg.n_ctx) == (context, read)
    ids = torch.randint(0, model.d_vocab, (2, read), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model.hooked(ids, prepend_bos=False), model.logits(ids), atol=1e-5, rtol=1e-4)
    if read < context:
        clean, corrupt = [[1, 2] * 6], [[3, 2] * 6]
        with pytest.raises(ValueError, match=f"12 positions; TransformerLens' form of this model reads at most {read}"):
            memcirc.patch_sweep(model, clean, corrupt, [1], [2], sites="blocks.1.ln1.hook_scale")
        pairs = Pairs((Pair(tuple(clean[0]), tuple(corrupt[0]), (1,), (2,)),))
        runner = memcirc.circuit_runner(model, pairs, mode="tree", engine="auto-circuit")
        for refused in (
            partial(memcirc.attribute, model, pairs, engine="auto-circuit"),
            partial(runner.logits, [set()]),
        ):
            with pytest.raises(ValueError, match=f"12 positions; TransformerLens' form .* at most {read}"):
                refused()
    longer = [[1] * (context + 1)]
    with pytest.raises(ValueError, match=f"context of {context}"):
        memcirc.score(model, longer, context, 1)
    with pytest.raises(ValueError, match=f"reads at most {context}"):
        memcirc.patch_sweep(model, longer, longer, [1], [2])


def test_want_of_memory_is_no_fault_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    random_hf("gpt2").save_pretrained(tmp_path)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", exhausted)
    with pytest.raises(MemoryError):
        load_model(str(tmp_path))


def test_a_model_without_an_unembedding_is_refused() -> None:
    with pytest.raises(ValueError, match="a GPT2Model has no unembedding; a causal language model is needed"):
        load_model(random_hf("gpt2").base_model, device="cpu")


def test_what_is_large_is_one_line_to_look_at() -> None:
    model = load_model(random_hf("gpt2"), device="cpu")
    pairs = random_pairs(3)
    assert repr(model) == "Model('GPT2LMHeadModel', 3 layers of 4 heads, float32 on cpu)"
    scores = memcirc.attribute(model, pairs, method="eap")
    assert repr(scores) == f"EdgeScores({scores.graph.n_edges} edges, method eap, model GPT2LMHeadModel)"
    sweep = memcirc.patch_sweep(model, [1, 2], [1, 3], [4], [5])
    assert repr(sweep) == "Sweep(6 patches of 1 examples, denoise: logit_diff)"


@pytest.mark.parametrize(("option", "value"), [("dtype", "float8"), ("device", "tpu9")])
def test_an_unknown_word_is_refused(option: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{option} '{value}' is not known"):
        load_model(random_hf("gpt2"), **{option: value})


def test_the_stamp_of_a_folder_changes_with_its_weights(tmp_path: Path) -> None:
    hf = random_hf("gpt2")
    hf.save_pretrained(tmp_path)
    before = weights_stamp(str(tmp_path))
    with torch.no_grad():
        hf.transformer.wte.weight[0, 0] += 1
    hf.save_pretrained(tmp_path)
    assert before != weights_stamp(str(tmp_path))
    assert weights_stamp("some/hub-name") is None


def test_the_stamp_of_a_folder_sees_every_byte_of_its_weights_and_its_configuration(tmp_path: Path) -> None:
    random_hf("gpt2").save_pretrained(tmp_path)
    stamps = {weights_stamp(str(tmp_path))}
    weights, configuration = tmp_path / "model.safetensors", tmp_path / "config.json"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    stamps.add(weights_stamp(str(tmp_path)))
    configuration.write_text(
        configuration.read_text().replace('"layer_norm_epsilon": 1e-05', '"layer_norm_epsilon": 1')
    )
    stamps.add(weights_stamp(str(tmp_path)))
    (tmp_path / "generation_config.json").write_text("{}")
    stamps.add(weights_stamp(str(tmp_path)))
    assert len(stamps) == 4
    (tmp_path / "README.md").touch()
    assert weights_stamp(str(tmp_path)) in stamps


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt",
             "vocab.json", "tokenizer.model", "spiece.model", "tekken.json"],
)  # fmt: skip
def test_the_stamp_of_a_tokenizer_sees_its_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = tokenizer_stamp(str(tmp_path))
    (tmp_path / name).write_text("{}")
    assert before != tokenizer_stamp(str(tmp_path)) != tokenizer_stamp("some/hub-name")
