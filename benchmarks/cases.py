"""The models and pairs that are measured: random weights of known shapes, random tokens."""

import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, LlamaConfig, PretrainedConfig

from memcirc.devices import DTYPES
from memcirc.models import Model, load_model
from memcirc.pairs.record import Pair, Pairs


def pythia(width: int, n_layers: int, n_heads: int) -> GPTNeoXConfig:
    """A Pythia's shape."""
    return GPTNeoXConfig(
        vocab_size=50304,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        max_position_embeddings=2048,
    )


SHAPES: dict[str, PretrainedConfig] = {
    "gpt2-small": GPT2Config(),
    "gpt2-medium": GPT2Config(n_embd=1024, n_layer=24, n_head=16),
    "smollm2-135m": LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    ),
    "pythia-14m": pythia(128, 6, 4),
    "pythia-70m": pythia(512, 6, 8),
    "pythia-160m": pythia(768, 12, 12),
    "pythia-410m": pythia(1024, 24, 16),
    "pythia-1b": pythia(2048, 16, 8),
    "pythia-1.4b": pythia(2048, 24, 16),
}


LLAMA_3 = {"vocab_size": 128256, "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192}
SHAPES |= {
    "llama-1b": LlamaConfig(hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, **LLAMA_3),
    "llama-8b": LlamaConfig(hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, **LLAMA_3),
}

BILLION = ("llama-1b", "pythia-1b", "pythia-1.4b", "llama-8b")


def n_pairs(shape: str) -> int:
    """How many pairs a shape is measured on: 8, of a billion parameters 2."""
    return 2 if shape in BILLION else 8


def model_of(name: str, device: str = "cpu", dtype: str = "float32", seed: int = 0) -> Model:
    """Random weights of a shape in ``SHAPES`` by a seed, or any model that ``load_model`` takes, as a trained one."""
    if name not in SHAPES:
        return load_model(name, device=device, dtype=dtype)
    torch.manual_seed(seed)
    with torch.device(device):
        hf = AutoModelForCausalLM.from_config(SHAPES[name], dtype=DTYPES[dtype], attn_implementation="eager")
    return load_model(hf.eval(), device=device, dtype=dtype)


def random_pairs(n_pairs: int, length: int, branch: bool, d_vocab: int, seed: int = 0) -> Pairs:
    """Pairs that differ everywhere (memorization decision), or in the last token alone (branch decision)."""
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> list[int]:
        return torch.randint(0, d_vocab, (n,), generator=generator).tolist()

    items = []
    for _ in range(n_pairs):
        clean, corrupt = draw(length), draw(length)
        if branch:
            corrupt[:-1] = clean[:-1]
        answer, wrong = draw(2)
        items.append(Pair(tuple(clean), tuple(corrupt), (answer,), (wrong,)))
    return Pairs(tuple(items))
