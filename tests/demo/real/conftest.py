"""A llama in miniature in place of the one that is shipped, and a small planting in it."""

import itertools
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from memcirc.demo.planting import drafts
from memcirc.demo.real import RealConfig, RealDemo, building, ensure_real, prose
from memcirc.demo.tokenizer import train_tokenizer
from memcirc.small_models import reproducible, save

TINY = RealConfig(copies=(1, 3), each=4, decoys=4, held_out=4, steps=6, batch_size=8, checkpoint_every=2, threads=1)


@pytest.fixture(scope="session")
def tiny_real() -> RealConfig:
    return TINY


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("shipped")
    config = LlamaConfig(
        vocab_size=320, hidden_size=18, intermediate_size=24, num_hidden_layers=2, num_attention_heads=3,
        num_key_value_heads=1, max_position_embeddings=128, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    with reproducible(0, threads=1):
        model = LlamaForCausalLM(config)
    save(model.to(torch.float32), train_tokenizer((d.text for _, d in itertools.islice(drafts(0), 200)), 320), folder)
    return folder


@pytest.fixture(scope="session")
def part_of_the_library() -> Path:
    return prose.library() / "asyncio"


@pytest.fixture
def with_little_to_read(monkeypatch: pytest.MonkeyPatch, part_of_the_library: Path) -> None:
    monkeypatch.setattr(building, "library", lambda: part_of_the_library)


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory, shipped: Path, part_of_the_library: Path) -> RealDemo:
    cache: Path = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(building, "library", lambda: part_of_the_library)
        return ensure_real(cache, progress=False, config=TINY, shipped=shipped)
