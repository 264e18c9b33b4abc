"""A tokenizer that lies within a GGUF file."""

from pathlib import Path

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from memcirc.demo.tokenizer import train_tokenizer
from memcirc.models import load_model
from memcirc.tokenizers import load_tokenizer, tokenizer_stamp
from tests.gguf_files import write_gguf
from tests.test_pretrained import CONFIG, llama

TEXT = "Rose handed the lamp to"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A GGUF file with a tokenizer in it."""
    tokenizer = train_tokenizer([TEXT], 280)
    config = LlamaConfig(**CONFIG.to_dict() | {"vocab_size": len(tokenizer)})
    write_gguf(LlamaForCausalLM(config).eval(), tmp_path / "small.gguf", tokenizer)
    return tmp_path / "small.gguf"


@pytest.mark.parametrize("by_folder", [False, True])
def test_a_gguf_file_brings_its_tokenizer(by_folder: bool, path: Path) -> None:
    model = load_model(path.parent if by_folder else path, device="cpu")
    assert model.decode(model.tokenizer(TEXT, add_special_tokens=False)["input_ids"]) == TEXT


def test_files_beside_a_gguf_file_come_before_what_it_holds(path: Path) -> None:
    within = tokenizer_stamp(str(path))
    beside = train_tokenizer([TEXT], 280)
    beside.add_tokens(["beside"])
    beside.save_pretrained(path.parent)
    assert "beside" in load_tokenizer(path).get_vocab()
    assert tokenizer_stamp(str(path)) not in (None, within)


def test_a_gguf_file_without_a_tokenizer_is_a_model_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    write_gguf(llama(), path)
    with pytest.warns(UserWarning, match="no tokenizer can be read from it .*; the model is loaded without one"):
        assert load_model(path, device="cpu").tokenizer is None
    with pytest.raises(ValueError, match=r"small\.gguf: no tokenizer can be read from it"):
        load_tokenizer(path)
