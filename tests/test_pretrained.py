"""Adapters merged into their base, GGUF files unpacked, and what is refused of them."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from memcirc import mapped
from memcirc.cli import MISTAKE, main
from memcirc.models import load_model
from memcirc.pretrained import weights_stamp
from tests.decoder.families import small
from tests.gguf_files import write_gguf
from tests.models import llama_style_tokenizer

IDS = torch.tensor([[1, 5, 2, 8, 3]])
CONFIG = LlamaConfig(
    vocab_size=11,
    hidden_size=64,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=16,
    tie_word_embeddings=False,
)


def llama(seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    return LlamaForCausalLM(CONFIG).eval()


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A folder with a base, and beside it one with an adapter that changes it much."""
    llama().save_pretrained(tmp_path / "base")
    base = LlamaForCausalLM.from_pretrained(tmp_path / "base")
    tuned = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "adapter")
    torch.save(tuned.eval()(input_ids=IDS).logits.detach(), tmp_path / "logits.pt")
    return tmp_path / "adapter"


def test_an_adapter_is_merged_into_its_base(adapter: Path) -> None:
    model = load_model(adapter, device="cpu")
    expected = torch.load(adapter.parent / "logits.pt")
    torch.testing.assert_close(model.logits(IDS), expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(load_model(adapter.parent / "base", device="cpu").logits(IDS), expected, atol=1e-2)


def test_an_adapter_is_merged_into_copies_where_its_base_stays_on_disk(
    adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path: path.read_bytes() for path in (adapter.parent / "base").glob("*.safetensors")}
    monkeypatch.setattr(mapped, "_available", lambda: 1000)
    torch.testing.assert_close(
        load_model(adapter, device="cpu").logits(IDS), torch.load(adapter.parent / "logits.pt"), atol=1e-5, rtol=1e-4
    )
    assert all(path.read_bytes() == before for path, before in files.items())


def test_the_stamp_of_an_adapter_is_of_both(adapter: Path) -> None:
    before = weights_stamp(str(adapter))
    llama(1).save_pretrained(adapter.parent / "base")
    assert weights_stamp(str(adapter)) != before


def changed(adapter: Path, **values: object) -> Path:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}), encoding="utf-8")
    return adapter


def test_an_adapter_for_another_base_is_refused(adapter: Path) -> None:
    other = LlamaConfig(**{**CONFIG.to_dict(), "hidden_size": 32, "head_dim": 8})
    LlamaForCausalLM(other).save_pretrained(adapter.parent / "base")
    with pytest.raises(ValueError, match=r"the adapter does not fit its base .*base'"):
        load_model(adapter, device="cpu")


def test_an_adapter_without_a_base_or_weights_is_refused(adapter: Path) -> None:
    with pytest.raises(ValueError, match="names no base model"):
        load_model(changed(adapter, base_model_name_or_path=None), device="cpu")
    with pytest.raises(FileNotFoundError, match=r"adapter_config.json: its base cannot be loaded: .*nowhere"):
        load_model(changed(adapter, base_model_name_or_path="./nowhere"), device="cpu")
    with pytest.raises(ValueError, match="names itself"):
        load_model(changed(adapter, base_model_name_or_path=str(adapter)), device="cpu")
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="has no weights"):
        load_model(adapter, device="cpu")


@pytest.mark.parametrize("by_folder", [True, False])
def test_a_gguf_file_is_the_model_that_was_written(by_folder: bool, tmp_path: Path) -> None:
    hf = llama()
    write_gguf(hf, tmp_path / "small.gguf")
    model = load_model(tmp_path if by_folder else tmp_path / "small.gguf", device="cpu")
    torch.testing.assert_close(model.logits(IDS), hf(input_ids=IDS).logits, atol=1e-5, rtol=1e-4)


def test_files_that_are_no_single_gguf_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_model(tmp_path / "absent.gguf", device="cpu")
    (tmp_path / "a.gguf").write_bytes(b"GGU")
    with pytest.raises(ValueError, match="not a GGUF file"):
        load_model(tmp_path, device="cpu")
    (tmp_path / "a.gguf").write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(ValueError, match="no model can be read from it"):
        load_model(tmp_path, device="cpu")
    (tmp_path / "b.gguf").write_bytes(b"GGUF")
    with pytest.raises(ValueError, match=r"holds a\.gguf, b\.gguf; name one of them"):
        load_model(tmp_path, device="cpu")


def test_a_gguf_file_that_is_cut_off_is_named_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "small.gguf"
    write_gguf(llama(), path)
    whole = path.read_bytes()
    for length in (4, 20, 30, 300, 900, 1500, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        told = rf"small\.gguf: cut off after {length:,} bytes(, within its header| of {len(whole):,})$"
        with pytest.raises(ValueError, match=told):
            load_model(path, device="cpu")
    assert main(["doctor", str(path)]) == MISTAKE
    assert "cut off" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("where", "byte", "said"),
    [(4, 9, "no model can be read"), (8, 255, "cut off"), (16, 255, "cut off")],
    ids=["version", "tensors", "facts"],
)
def test_a_gguf_header_of_nonsense_is_refused(where: int, byte: int, said: str, tmp_path: Path) -> None:
    write_gguf(llama(), tmp_path / "small.gguf")
    content = bytearray((tmp_path / "small.gguf").read_bytes())
    content[where] = byte
    (tmp_path / "small.gguf").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        load_model(tmp_path, device="cpu")


def test_auto_keeps_the_stored_precision(tmp_path: Path) -> None:
    llama().bfloat16().save_pretrained(tmp_path)
    assert load_model(tmp_path, device="cpu", dtype="auto").dtype_name == "bfloat16"
    assert load_model(tmp_path, device="cpu").dtype_name == "float32"
    assert load_model(llama().double(), device="cpu", dtype="auto").dtype_name == "float64"


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    llama().save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    settings |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "mine.py").write_text("raise SystemExit('this was run')", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_model(tmp_path, device="cpu")


def test_a_base_is_looked_for_beside_the_adapter_and_lends_it_its_tokenizer(adapter: Path) -> None:
    llama_style_tokenizer(["a", "b"]).save_pretrained(adapter.parent / "base")
    model = load_model(changed(adapter, base_model_name_or_path="../base"), device="cpu")
    assert model.tokenizer.get_vocab().keys() >= {"a", "b"}


def test_biases_that_transformers_would_add_twice_are_added_once(tmp_path: Path) -> None:
    hf = small("falcon_alibi", torch.float32)
    hf.save_pretrained(tmp_path)
    torch.testing.assert_close(
        load_model(tmp_path, device="cpu").logits(IDS), hf(input_ids=IDS).logits, atol=1e-5, rtol=1e-4
    )
