"""What is said of a model before it is loaded."""

import re
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModelForCausalLM, MixtralConfig

from memcirc.cli import MISTAKE, main
from memcirc.examining import examine
from memcirc.models import load_model
from tests.decoder.families import MODELS, loaded
from tests.models import llama_style_tokenizer


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "falcon_grouped"])
def test_edges_and_bytes_are_those_of_the_loaded_model(name: str, tmp_path: Path) -> None:
    hf = loaded(name, dtype="float32").hf
    assert hf is not None
    hf.save_pretrained(tmp_path)
    found = examine(str(tmp_path))
    assert found.kind == MODELS[name][0]
    assert found.graph == load_model(tmp_path, device="cpu").weights.graph
    assert found.grouped == load_model(tmp_path, device="cpu", grouped_kv=True).weights.graph
    assert found.stored == (tmp_path / "model.safetensors").stat().st_size
    assert found.difference_bytes(tokens=10) == len(found.graph.sources) * 10 * hf.config.hidden_size * 4


def test_operations_are_counted_by_hand(tmp_path: Path) -> None:
    """One layer of two heads, width 8, MLP of 16: a block of 4 * 64 + 2 * 8 * 16 numbers, an unembedding of 8 * 9; 4
    sources, 8 destinations."""
    facts = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_inner": 16, "vocab_size": 9}
    AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **facts)).save_pretrained(tmp_path)
    parameters, products = 4 * 64 + 2 * 8 * 16 + 8 * 9, 2 * 4 * 8 * 8
    found = examine(str(tmp_path))
    assert (found.parameters, found.operations(tokens=3)) == (parameters, 5 * 3 * (6 * parameters + products))


def test_the_command_says_it_in_four_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded("llama", dtype="float32").hf.save_pretrained(tmp_path)  # type: ignore[union-attr]
    assert main(["doctor", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path}: llama can be run"
    assert "with grouped_kv=True" in lines[1]
    assert len(lines) == 4


def test_a_short_context_and_a_tokenizer_that_says_more_than_the_model_knows_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {"n_embd": 8, "n_layer": 1, "n_head": 2, "vocab_size": 9, "n_positions": 6}
    AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **facts)).save_pretrained(tmp_path)
    llama_style_tokenizer(["one"]).save_pretrained(tmp_path)
    assert main(["doctor", str(tmp_path)]) == 0
    *others, last = capsys.readouterr().out.splitlines()
    assert "a pair of 6 tokens" in others[2]
    assert "a pair of 6 tokens" in others[3]
    assert "GB" not in others[2]
    assert re.match(r"its tokenizer has \d+ tokens more than its embedding", last)


def test_a_model_that_cannot_be_run_is_named_with_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    MixtralConfig(num_local_experts=2).save_pretrained(tmp_path)
    assert main(["doctor", str(tmp_path)]) == MISTAKE
    assert "'mixtral' is not supported: experts (num_local_experts)" in capsys.readouterr().err
    assert main(["doctor", str(tmp_path / "nowhere")]) == MISTAKE
    assert "nowhere" in capsys.readouterr().err


def test_a_setting_that_is_not_computed_is_named_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    AutoConfig.for_model("olmo", clip_qkv=1.0).save_pretrained(tmp_path)
    assert main(["doctor", str(tmp_path)]) == MISTAKE
    assert "olmo with clip_qkv=1.0 is not supported" in capsys.readouterr().err
