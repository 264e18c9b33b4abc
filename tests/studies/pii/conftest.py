"""Two small models of one base, and what the target recites."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, PreTrainedTokenizerFast

from memcirc.models import load_model
from memcirc.small_models import word_tokenizer
from memcirc.studies.pii.results import PiiResults
from memcirc.studies.pii.samples import of_file
from memcirc.studies.pii.two_models import TwoModels
from tests.studies.pii.made import made_results

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def saved(folder: Path, seed: int, change: float = 0.0, layers: int = 2) -> PreTrainedTokenizerFast:
    """A random model of a small Pythia's shape; ``change`` disturbs the weights of the seed's model."""
    tokenizer = word_tokenizer([" " + " ".join(WORDS)], r" ?\w+| ")
    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=layers,
        num_attention_heads=2, max_position_embeddings=32, bos_token_id=0, eos_token_id=0, initializer_range=0.4,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(change * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Target and control of one base, an unrelated model, one of another shape, and samples that the target recites."""
    folder = tmp_path_factory.mktemp("pii")
    tokenizer = saved(folder / "target", 0)
    saved(folder / "control", 0, change=0.15)
    saved(folder / "stranger", 1)
    saved(folder / "deeper", 0, layers=3)
    target, samples = load_model(str(folder / "target"), device="cpu"), []
    for i in range(8):
        prompt = " " + " ".join(WORDS[(i + 3 * j) % len(WORDS)] for j in range(4))
        ids = [0, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        for _ in range(3):
            ids.append(int(target.logits(torch.tensor([ids]))[0, -1, 2:].argmax()) + 2)
        samples.append(
            {"prompt": prompt, "answer": target.decode(ids[-3:]), "copies": 10 * (1 + i % 2), "type": "words"}
        )
    for entry in samples[-3:]:
        entry["memorized"] = False
    (folder / "samples.json").write_text(json.dumps(samples))
    return folder


@pytest.fixture(scope="session")
def two(pair: Path) -> TwoModels:
    """Target and control; the last three samples are people in no corpus."""
    target, control = (load_model(str(pair / name), device="cpu") for name in ("target", "control"))
    return TwoModels(target, control, of_file(pair / "samples.json", target), progress=False)


@pytest.fixture
def results() -> PiiResults:
    """Two blocks of two heads; a recitation that rises with the copies; the gap between the models is 8 nats."""
    return made_results()
