"""Folders that hold another model than they say: refused by one line that names the file or the weight."""

import codecs
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from memcirc.checkpoints import LFS_POINTER
from memcirc.models import load_model
from memcirc.small_models import word_tokenizer
from memcirc.tokenizers import load_tokenizer
from tests.models import config, small_hf_model, small_model

State = dict[str, Tensor]
POINTER = LFS_POINTER.decode() + "v1\noid sha256:0123\nsize 42\n"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "llama"
    hf(seed=1).save_pretrained(folder)
    word_tokenizer(["a b c"], r" ?\w+").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def hf(name: str = "llama", seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config(name)).eval()


def rewrite(folder: Path, change: Callable[[State], State], as_bin: bool = False, **settings: object) -> None:
    state = change(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    if as_bin:
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file({k: v.contiguous() for k, v in state.items()}, folder / "model.safetensors", {"format": "pt"})
    if settings:
        stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps(stored | settings), encoding="utf-8")


def shard(folder: Path, as_bin: bool = False) -> list[Path]:
    """Write the weights in two parts and an index."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stem, end = ("pytorch_model", "bin") if as_bin else ("model", "safetensors")
    names = sorted(state)
    parts = {f"{stem}-0000{i + 1}-of-00002.{end}": names[i::2] for i in range(2)}
    for file, keys in parts.items():
        part = {key: state[key].contiguous() for key in keys}
        torch.save(part, folder / file) if as_bin else save_file(part, folder / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {key: file for file, keys in parts.items() for key in keys}}
    (folder / f"{stem}.{end}.index.json").write_text(json.dumps(index), encoding="utf-8")
    return [folder / file for file in parts]


def refused(folder: Path, *words: str, error: type[Exception] = ValueError) -> None:
    with pytest.raises(error) as raised:
        load_model(str(folder), device="cpu")
    assert "\n" not in str(raised.value)
    for word in words:
        assert word in str(raised.value)


def without(part: str) -> Callable[[State], State]:
    return lambda state: {key: weight for key, weight in state.items() if part not in key}


@pytest.mark.parametrize("as_bin", [False, True])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {f"_orig_mod.{k}": w for k, w in s.items()}, ("missing: lm_head.weight", "_orig_mod.lm_head")),
        (lambda s: {f"module.{k}": w for k, w in s.items()}, ("missing: lm_head.weight", "unexpected: module.lm_head")),
        (without("layers.2"), ("missing: model.layers.2.input_layernorm.weight", "and 5 more")),
        (without("lm_head"), ("missing: lm_head.weight",)),
        (
            lambda s: s | {"model.layers.0.mlp.up_proj.bias": torch.ones(24)},
            ("unexpected: model.layers.0.mlp.up_proj.bias",),
        ),
        (
            lambda s: s | {"model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(2, 16)},
            ("unexpected: model.layers.0.self_attn.q_proj.lora_A.weight",),
        ),
    ],
)
def test_weights_that_do_not_fit_their_names_are_refused(
    change: Callable[[State], State], words: tuple[str, ...], as_bin: bool, folder: Path
) -> None:
    rewrite(folder, change, as_bin)
    refused(folder, *words)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_hidden_layers": 2}, "unexpected: model.layers.2.input_layernorm.weight"),
        ({"num_hidden_layers": 4}, "missing: model.layers.3.input_layernorm.weight"),
        ({"vocab_size": 33}, "of another shape: lm_head.weight [31, 16] for [33, 16]"),
        ({"num_key_value_heads": 2}, "of another shape: model.layers.0.self_attn.k_proj.weight [16, 16] for [8, 16]"),
    ],
)
def test_a_configuration_that_denies_the_weights_is_refused(settings: dict[str, int], words: str, folder: Path) -> None:
    rewrite(folder, lambda state: state, **settings)
    refused(folder, words)


def test_a_refusal_is_all_that_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    rewrite(folder, without("lm_head"))
    refused(folder, "lm_head")
    assert "LOAD REPORT" not in caplog.text


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        (without("lm_head"), {"tie_word_embeddings": True}),
        (lambda s: {k.removeprefix("model."): w for k, w in s.items()}, {}),
        (lambda s: s | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2)}, {}),
    ],
)
def test_what_transformers_reads_rightly_still_loads(
    change: Callable[[State], State], settings: dict[str, bool], folder: Path
) -> None:
    rewrite(folder, change, **settings)
    assert load_model(str(folder), device="cpu").hf is not None


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("gpt2", "transformer.h.0.attn"),
        ("gpt_neo", "transformer.h.0.attn.attention"),
        ("gpt_neox", "gpt_neox.layers.0.attention"),
    ],
)
@pytest.mark.parametrize("bare", [False, True])
def test_buffers_of_older_files_are_no_weights(name: str, layer: str, bare: bool, tmp_path: Path) -> None:
    given = hf(name)
    given.save_pretrained(tmp_path)
    masks = {f"{layer}.bias": torch.ones(1, 1, 4, 4), f"{layer}.masked_bias": torch.tensor(-1e9)}
    prefix = f"{given.base_model_prefix}." if bare else ""
    rewrite(tmp_path, lambda state: {k.removeprefix(prefix): w for k, w in (state | masks).items()})
    assert load_model(str(tmp_path), device="cpu").fingerprint == load_model(given, device="cpu").fingerprint


@pytest.mark.parametrize("as_bin", [False, True])
def test_weights_in_parts_are_whole_or_refused(as_bin: bool, folder: Path) -> None:
    expected = load_model(str(folder), device="cpu").fingerprint
    first, second = shard(folder, as_bin)
    assert load_model(str(folder), device="cpu").fingerprint == expected
    kept = second.read_bytes()
    second.unlink()
    refused(folder, "index.json names", second.name, error=FileNotFoundError)
    second.write_bytes(kept[: len(kept) // 2])
    refused(folder, second.name, "not a whole file")
    second.write_bytes(first.read_bytes())
    refused(folder, "missing: ")


def test_an_index_without_a_map_and_parts_without_an_index_are_refused(folder: Path) -> None:
    shard(folder)
    index = folder / "model.safetensors.index.json"
    index.write_text("{}", encoding="utf-8")
    refused(folder, "no 'weight_map'")
    index.unlink()
    refused(folder, "has no weights", "model-00001-of-00002.safetensors", error=FileNotFoundError)


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_beside_a_model_is_refused_by_name(file: str, folder: Path) -> None:
    (folder / file).write_text("{}", encoding="utf-8")
    refused(folder, file, "an adapter")


def test_a_model_object_with_an_adapter_is_refused() -> None:
    given = hf()
    given._hf_peft_config_loaded = True
    with pytest.raises(ValueError, match="carries an adapter"):
        load_model(given, device="cpu")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_weight_that_is_no_number_is_named(bad: float, folder: Path) -> None:
    def spoil(state: State) -> State:
        state["model.embed_tokens.weight"][7] = bad
        return state

    rewrite(folder, spoil)
    refused(folder, "NaN or infinite values in the weight model.embed_tokens.weight")
    refused_object = AutoModelForCausalLM.from_pretrained(folder)
    with pytest.raises(ValueError, match=r"in the weight model\.embed_tokens\.weight"):
        load_model(refused_object, device="cpu")


def test_a_hooked_model_with_a_bad_weight_and_one_too_large_for_the_dtype_are_named() -> None:
    hooked = small_model("attention_only", dtype="float32").hooked
    with torch.no_grad():
        hooked.W_pos[3] = float("nan")
    with pytest.raises(ValueError, match=r"in the weight pos_embed\.W_pos"):
        load_model(hooked, device="cpu")
    large = small_hf_model("gpt2").hf
    with torch.no_grad():
        large.transformer.wpe.weight[2, 1] = 1e5
    with pytest.raises(ValueError, match=r"in the weight transformer\.wpe\.weight \(as float16\)"):
        load_model(large, device="cpu", dtype="float16")


@pytest.mark.parametrize("as_bin", [False, True])
def test_a_pointer_and_a_file_cut_off_are_named(as_bin: bool, folder: Path) -> None:
    rewrite(folder, lambda state: state, as_bin)
    path = folder / ("pytorch_model.bin" if as_bin else "model.safetensors")
    whole = path.read_bytes()
    for size in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(folder, path.name)
    path.write_text(POINTER, encoding="utf-8")
    refused(folder, f"{path.name}: a Git LFS pointer")


def test_a_state_dict_within_another_is_refused(folder: Path) -> None:
    rewrite(folder, lambda state: {"state_dict": state}, as_bin=True)  # type: ignore[dict-item]
    refused(folder, "pytorch_model.bin: not a plain state dict", "'state_dict'")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["", '{"a": ', "[1]", "no JSON", POINTER, "\udcff"])
def test_a_broken_json_file_is_named(name: str, content: str, folder: Path) -> None:
    (folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    refused(folder, name)


def test_a_tokenizers_files_that_are_pointers_are_named(folder: Path) -> None:
    (folder / "merges.txt").write_text(POINTER, encoding="utf-8")
    refused(folder, "merges.txt: a Git LFS pointer")
    (folder / "merges.txt").unlink()
    (folder / "tokenizer.model").write_text(POINTER, encoding="utf-8")
    refused(folder, "tokenizer.model: a Git LFS pointer")


@pytest.mark.parametrize("change", [{"version": "9.0"}, {"model": {"type": "Later"}}])
def test_a_tokenizer_of_another_version_is_named(change: dict[str, object], folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    refused(folder, "tokenizer.json: no tokenizer can be read from it")
    with pytest.raises(ValueError, match=r"tokenizer\.json: no tokenizer can be read"):
        load_tokenizer(str(folder))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_folder_without_a_tokenizer_has_none(name: str, tmp_path: Path) -> None:
    """Where it is asked for none: transformers makes one of a single token for a gpt2."""
    hf(name).save_pretrained(tmp_path)
    assert load_model(str(tmp_path), device="cpu").tokenizer is None
    with pytest.raises(FileNotFoundError, match="has no tokenizer"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize("settings", [{"model_type": "unheard"}, {"hidden_act": "unheard"}, {"hidden_size": "wide"}])
def test_a_configuration_that_means_nothing_is_one_line(settings: dict[str, str], folder: Path) -> None:
    rewrite(folder, lambda state: state, **settings)
    refused(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_byte_order_mark_that_transformers_does_not_read_is_named(name: str, folder: Path) -> None:
    (folder / name).write_bytes(codecs.BOM_UTF8 + (folder / name).read_bytes())
    refused(folder, f"{folder / name}: begins with a byte-order mark")
