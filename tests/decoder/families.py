"""A small random model of every type that is computed, and of their variants."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from memcirc.models import Model, load_model

D_VOCAB, LAYERS, HEADS, WIDTH, CONTEXT = 31, 3, 4, 16, 24

BASE: dict[str, Any] = {
    "vocab_size": D_VOCAB,
    "hidden_size": WIDTH,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": CONTEXT,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
GROUPED = ("cohere", "gemma", "gemma2", "gemma3_text", "granite", "llama", "mistral", "olmo", "olmo2", "phi", "phi3",
           "qwen2", "qwen3", "smollm3", "stablelm", "starcoder2")  # fmt: skip
SLIDING = {"sliding_window": 3}
LAYER_TYPES = {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"], **SLIDING}
GEMMA = {"head_dim": 6, "query_pre_attn_scalar": 5, "hidden_activation": "gelu_pytorch_tanh"}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 100.0,
    "partial_rotary_factor": 1.0,
    "short_factor": [1.0, 1.5],
    "long_factor": [2.0, 3.0],
    "original_max_position_embeddings": 16,
}

# name -> model type, and what its configuration says beside BASE
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "bloom": ("bloom", {"n_head": HEADS, "n_layer": LAYERS}),
    "cohere": ("cohere", {"use_qk_norm": False, "logit_scale": 0.5}),
    "cohere_normed": ("cohere", {"use_qk_norm": True, "logit_scale": 0.5}),
    "falcon": ("falcon", {"multi_query": True, "parallel_attn": True, "bias": False}),
    "falcon_alibi": ("falcon", {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True}),
    "falcon_grouped": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2, "bias": False}),
    "gemma": ("gemma", {"head_dim": 6}),
    "gemma2": (
        "gemma2",
        {**GEMMA, **LAYER_TYPES, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    ),
    "gemma3_text": ("gemma3_text", {**GEMMA, **LAYER_TYPES}),
    "gpt2": ("gpt2", {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": CONTEXT}),
    "gpt2_scaled": ("gpt2", {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": CONTEXT,
                             "scale_attn_by_inverse_layer_idx": True}),
    "gpt_neo": ("gpt_neo", {"num_layers": LAYERS, "num_heads": HEADS, "window_size": 3,
                            "attention_types": [[["global", "local"], 1], [["local"], 1]]}),
    "gpt_neox": ("gpt_neox", {"rotary_pct": 0.5, "use_parallel_residual": True}),
    "gpt_neox_sequential": ("gpt_neox", {"rotary_pct": 0.5, "use_parallel_residual": False, "attention_bias": False}),
    "gptj": ("gptj", {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": CONTEXT, "rotary_dim": 2}),
    "granite": ("granite", {"attention_multiplier": 0.3, "embedding_multiplier": 2.0, "residual_multiplier": 0.7,
                            "logits_scaling": 1.7}),
    "llama": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama_tied": ("llama", {"tie_word_embeddings": True, "num_key_value_heads": 1, "rope_parameters": {
        "rope_type": "linear", "rope_theta": 100.0, "factor": 2.0}}),
    "mistral": ("mistral", SLIDING),
    "olmo": ("olmo", {}),
    "olmo2": ("olmo2", {}),
    "opt": ("opt", {"ffn_dim": 24, "word_embed_proj_dim": WIDTH}),
    "phi": ("phi", {"partial_rotary_factor": 0.5}),
    "phi_normed": ("phi", {"partial_rotary_factor": 0.5, "qk_layernorm": True}),
    "phi3": ("phi3", SLIDING),
    "phi3_long": ("phi3", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 16}),
    "qwen2": ("qwen2", {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}),
    "qwen3": ("qwen3", {"head_dim": 6}),
    "smollm3": ("smollm3", {"no_rope_layers": [1, 0, 1]}),
    "stablelm": ("stablelm", {"partial_rotary_factor": 0.5, "use_qkv_bias": True}),
    "stablelm_parallel": ("stablelm", {"partial_rotary_factor": 0.5, "use_qkv_bias": False,
                                       "use_parallel_residual": True, "qk_layernorm": True}),
    "starcoder2": ("starcoder2", {"sliding_window": 3}),
}  # fmt: skip


def small(name: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> PreTrainedModel:
    """A random transformers model, its parameters spread widely enough that no path is negligible."""
    kind, facts = MODELS[name]
    shared = {**BASE, "num_key_value_heads": 2} if kind in GROUPED else BASE
    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, **{**shared, **facts})
    kernel = "sdpa" if name == "falcon_alibi" else "eager"
    hf = AutoModelForCausalLM.from_config(config, attn_implementation=kernel).to(dtype).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in hf.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_((0.25 * noise).to(dtype))
    return hf


def loaded(name: str, grouped_kv: bool = False, dtype: str = "float64", seed: int = 0) -> Model:
    hf = small(name, getattr(torch, dtype), seed)
    return load_model(hf, device="cpu", dtype=dtype, grouped_kv=grouped_kv)


@contextmanager
def nothing_in_float32() -> Iterator[None]:
    """What transformers computes in float32 whatever the dtype (norms, softmax, angles) is computed in float64."""
    with mock.patch("torch.float32", torch.float64), mock.patch("torch.Tensor.float", Tensor.double):
        yield
