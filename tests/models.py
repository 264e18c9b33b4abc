"""Small random models of every architecture, and random pairs for them."""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer, decoders, models, normalizers
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from memcirc.models import Model, load_model
from memcirc.pairs.record import Pair, Pairs
from memcirc.twins import beside

D_VOCAB = 31
LAYERS, HEADS, WIDTH, CONTEXT = 3, 4, 16, 24

_LLAMA = {
    "vocab_size": D_VOCAB,
    "hidden_size": WIDTH,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": CONTEXT,
    "tie_word_embeddings": False,
}
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}


def _neox(parallel: bool) -> PretrainedConfig:
    return GPTNeoXConfig(
        vocab_size=D_VOCAB,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=CONTEXT,
        rotary_pct=0.5,
        use_parallel_residual=parallel,
        bos_token_id=0,
        eos_token_id=0,
    )


def config(name: str) -> PretrainedConfig:
    """The transformers configuration of a small model."""
    if name == "gpt2":
        return GPT2Config(
            vocab_size=D_VOCAB,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=HEADS,
            n_positions=CONTEXT,
            bos_token_id=0,
            eos_token_id=0,
        )
    if name == "gpt_neo":
        return GPTNeoConfig(
            vocab_size=D_VOCAB,
            hidden_size=WIDTH,
            num_layers=LAYERS,
            num_heads=HEADS,
            attention_types=[[["global", "local"], 1], [["local"], 1]],
            window_size=3,
            max_position_embeddings=CONTEXT,
            bos_token_id=0,
            eos_token_id=0,
        )
    if name == "gpt_neox":
        return _neox(parallel=True)
    if name == "gpt_neox_sequential":
        return _neox(parallel=False)
    if name == "llama":
        return LlamaConfig(num_key_value_heads=HEADS, **_LLAMA)
    if name in ("llama_grouped", "llama_ungrouped"):
        return LlamaConfig(num_key_value_heads=2, rope_parameters=_LLAMA3_ROPE, **_LLAMA)
    if name == "mistral":
        return MistralConfig(num_key_value_heads=2, sliding_window=None, **_LLAMA)
    assert name == "qwen2", name
    return Qwen2Config(num_key_value_heads=2, **_LLAMA)


HF_MODELS = (
    "gpt2",
    "gpt_neo",
    "gpt_neox",
    "gpt_neox_sequential",
    "llama",
    "llama_grouped",
    "llama_ungrouped",
    "mistral",
    "qwen2",
)
HOOKED_MODELS = ("attention_only", "no_norm", "bidirectional")
ARCHITECTURES = HF_MODELS + HOOKED_MODELS


def small_model(name: str, seed: int = 0, dtype: str = "float64") -> Model:
    """A random model of the named architecture, its weights spread widely enough that no path is negligible."""
    if name in HOOKED_MODELS:
        return load_model(_hooked(name, seed), device="cpu", dtype=dtype)
    if not name.startswith("gpt2"):
        # transformers computes some parts in float32 whatever the dtype: compare in float32, then widen
        return load_model(small_hf_model(name, seed).hooked, device="cpu", dtype=dtype)
    return load_model(_transformers(name, seed), device="cpu", dtype=dtype)


def small_pair(name: str) -> Model:
    """A model with a twin: another of the same shape."""
    return beside(small_model(name), small_model(name, seed=3))


def small_hf_model(name: str, seed: int = 0) -> Model:
    """The same in float32 and with its transformers form, which generates."""
    return load_model(_transformers(name, seed).float(), device="cpu", grouped_kv=name == "llama_grouped")


def _transformers(name: str, seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    hf = AutoModelForCausalLM.from_config(config(name), attn_implementation="eager").double().eval()
    _shake(hf, seed)
    return hf


def _hooked(name: str, seed: int) -> HookedTransformer:
    cfg = HookedTransformerConfig(
        n_layers=LAYERS if name != "no_norm" else 2,
        d_model=WIDTH,
        n_ctx=CONTEXT,
        d_head=4,
        n_heads=HEADS,
        d_mlp=24,
        d_vocab=D_VOCAB,
        act_fn="relu" if name == "no_norm" else "gelu",
        attn_only=name == "attention_only",
        normalization_type=None if name in ("no_norm", "attention_only") else "LN",
        attention_dir="bidirectional" if name == "bidirectional" else "causal",
        dtype=torch.float64,
        seed=seed,
    )
    model = HookedTransformer(cfg)
    _shake(model, seed)
    return model.eval()


def _shake(model: torch.nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.25 * noise.to(parameter.dtype))


def llama_style_tokenizer(words: Sequence[str], bos: bool = True) -> PreTrainedTokenizerFast:
    """SentencePiece as Llama has it: a space goes before every text, so a word with a space of its own is one token
    behind a text and two alone."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,"
    pieces = ["<unk>", "<s>", *dict.fromkeys(["▁", *letters, *(f"▁{word}" for word in words)])]
    scores = [0.0, 0.0, *(-10.0 if len(piece) == 1 else -1.0 for piece in pieces[2:])]
    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unk_id=0))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", **({"bos_token": "<s>"} if bos else {})
    )


def random_pairs(
    n_pairs: int,
    lengths: int | tuple[int, ...] = 6,
    shared: int = 0,
    seed: int = 0,
    alternatives: int = 1,
    steps: int = 0,
) -> Pairs:
    """Random prompts; the first ``shared`` tokens of clean and corrupt agree and the next differs."""
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> list[int]:
        return torch.randint(0, D_VOCAB, (n,), generator=generator).tolist()

    items = []
    for i in range(n_pairs):
        length = lengths if isinstance(lengths, int) else lengths[i % len(lengths)]
        clean, corrupt = draw(length), draw(length)
        agree = min(shared, length - 1)
        corrupt[:agree] = clean[:agree]
        corrupt[agree] = (clean[agree] + 1) % D_VOCAB
        items.append(
            Pair(tuple(clean), tuple(corrupt), tuple(draw(alternatives)), tuple(draw(alternatives)), tuple(draw(steps)))
        )
    return Pairs(tuple(items))
