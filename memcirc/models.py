"""Load a causal language model once, in two forms that agree: as transformers runs it (scoring, generation) and as a
``HookedTransformer`` with plain per-head weights (circuits, patching).

TransformerLens' own loader takes no local folder and guesses the architecture from the name, so the road here is the
same for a hub name and a folder: transformers loads the weights, TransformerLens' configuration reader and weight
converter for that architecture turn them into a hooked state dict, nothing is folded or centred, and the logits of
both are compared before the model is handed out.
"""

import copy
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.loading_from_pretrained import (
    convert_gpt2_weights,
    convert_llama_weights,
    convert_mistral_weights,
    convert_neo_weights,
    convert_neox_weights,
    convert_qwen2_weights,
)
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

Module = TypeVar("Module", PreTrainedModel, HookedTransformer)

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
_AGREEMENT = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 1e-1, torch.float16: 2e-2}


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model. ``hf`` is None for a micro-model that was given as a ``HookedTransformer``."""

    name: str
    hooked: HookedTransformer
    hf: PreTrainedModel | None
    tokenizer: Any
    revision: str | None = None

    @property
    def device(self) -> torch.device:
        return self.hooked.W_E.device

    @property
    def dtype(self) -> torch.dtype:
        return self.hooked.W_E.dtype

    @property
    def d_vocab(self) -> int:
        return self.hooked.cfg.d_vocab

    @property
    def n_ctx(self) -> int:
        return self.hooked.cfg.n_ctx

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (first 16 hex digits) over names, shapes and values of all weights."""
        digest = hashlib.sha256()
        for name, weight in sorted(self.hooked.named_parameters()):
            digest.update(f"{name}{tuple(weight.shape)}{weight.dtype}".encode())
            digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def tokenizer_fingerprint(self) -> str | None:
        """SHA-256 (first 16 hex digits) over the vocabulary, None without a tokenizer."""
        if self.tokenizer is None:
            return None
        vocabulary = sorted(self.tokenizer.get_vocab().items())
        return hashlib.sha256(repr(vocabulary).encode()).hexdigest()[:16]

    def logits(self, ids: Tensor) -> Tensor:
        """One plain forward pass: int64 [batch, pos] -> [batch, pos, d_vocab], in the model's dtype."""
        with torch.inference_mode():
            ids = ids.to(self.device)
            if self.hf is not None:
                return self.hf(input_ids=ids, use_cache=False).logits
            return self.hooked(ids, return_type="logits", prepend_bos=False)

    def decode(self, ids: Any) -> str:
        """Text of token ids; the ids themselves where there is no tokenizer."""
        ids = [int(i) for i in ids]
        if self.tokenizer is None:
            return " ".join(map(str, ids))
        return str(self.tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    def statement(self) -> dict[str, Any]:
        """What a result must carry to name the model it was measured on."""
        return {
            "model": self.name,
            "revision": self.revision,
            "model_fingerprint": self.fingerprint,
            "tokenizer_fingerprint": self.tokenizer_fingerprint,
            "dtype": self.dtype_name,
            "device": str(self.device),
        }


def load_model(
    source: Any,
    device: str = "auto",
    dtype: str = "float32",
    tokenizer: Any = None,
    grouped_kv: bool = False,
) -> Model:
    """Load a causal language model and its hooked twin.

    Args:
        source: hub name, local folder, transformers model, or ``HookedTransformer`` (also without norm,
            attention-only or bidirectional, as micro-models need).
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` (CUDA where there is one).
        dtype: one of float32, float64, bfloat16, float16.
        tokenizer: a transformers tokenizer, or where to load one; default: the one beside the model, if any.
        grouped_kv: keep grouped keys and values grouped (one K and one V input a group); default: one a head.

    Raises:
        FileNotFoundError: a folder without weights, or a name that is neither a folder nor on the hub.
        ValueError: unsupported architecture (names the supported ones), unknown dtype or device, logits that disagree
            with transformers.
    """
    torch_dtype = _dtype(dtype)
    torch_device = resolve_device(device)
    if isinstance(source, HookedTransformer):
        hooked = _moved(source, torch_device, torch_dtype)
        return Model(source.cfg.model_name or "custom", hooked, None, _tokenizer(tokenizer))
    if isinstance(source, PreTrainedModel):
        hf, name, found = source, source.config._name_or_path or type(source).__name__, tokenizer
    else:
        name = str(source)
        hf, found = _from_pretrained(name, torch_dtype), tokenizer or name
    hf = _moved(hf, torch_device, torch_dtype)
    hooked = hooked_twin(hf, grouped_kv)
    _check_agreement(name, hf, hooked)
    revision = getattr(hf.config, "_commit_hash", None)
    return Model(name, hooked, hf, _tokenizer(found, optional=tokenizer is None), revision)


def _moved(model: Module, device: torch.device, dtype: torch.dtype) -> Module:
    """The model itself where it already is as wanted, else a copy: the caller's object is never changed."""
    weight = next(model.parameters())
    if weight.device == device and weight.dtype == dtype and not model.training:
        return model
    moved = copy.deepcopy(model)
    if isinstance(moved, HookedTransformer):
        return moved.to(device, print_details=False).to(dtype, print_details=False).eval()
    return moved.to(device=device, dtype=dtype).eval()


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a hub name or local folder.

    Raises:
        FileNotFoundError: there is none.
    """
    return _tokenizer(name, optional=False)


def weights_stamp(name: str) -> str | None:
    """A cheap identity of a local folder's weights: names, sizes, first and last megabyte; None for a hub name."""
    folder = Path(name)
    if not folder.is_dir():
        return None
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]):
        size = path.stat().st_size
        digest.update(f"{path.name}{size}".encode())
        with path.open("rb") as file:
            digest.update(file.read(2**20))
            file.seek(max(0, size - 2**20))
            digest.update(file.read())
    return digest.hexdigest()[:16]


def resolve_device(device: str) -> torch.device:
    """``auto`` means CUDA where there is one, else the CPU; a device that is not there is a ValueError."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device {device!r} is not known; accepted: auto, cpu, cuda, cuda:N, mps") from None
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r}: no CUDA device is available here; accepted: auto, cpu")
    return resolved


def _dtype(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise ValueError(f"dtype {name!r} is not known; accepted: {', '.join(DTYPES)}")
    return DTYPES[name]


def _from_pretrained(name: str, dtype: torch.dtype) -> PreTrainedModel:
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"model folder {name!r} has no config.json")
        if not [*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]:
            raise FileNotFoundError(f"model folder {name!r} has no weights (*.safetensors or pytorch_model*.bin)")
    try:
        return AutoModelForCausalLM.from_pretrained(name, dtype=dtype, attn_implementation="eager")
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(
            f"model {name!r} is neither a local folder nor to be had from the hub ({reason})"
        ) from None


def _tokenizer(source: Any, optional: bool = True) -> Any:
    """A tokenizer object as it is, or one loaded from a name; None where there is none and none is needed."""
    if source is None or not isinstance(source, str | Path):
        return source
    try:
        return AutoTokenizer.from_pretrained(str(source))
    except (OSError, ValueError, KeyError) as error:
        if optional:
            return None
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(f"no tokenizer at {str(source)!r} ({reason})") from None


def hooked_twin(hf: PreTrainedModel, grouped_kv: bool = False) -> HookedTransformer:
    """The same weights as a ``HookedTransformer``, with nothing folded or centred, on the same device and dtype.

    Raises:
        ValueError: unsupported architecture, or a feature of it that the hooked form would drop silently.
    """
    kind = hf.config.model_type
    if kind not in _ARCHITECTURES:
        raise ValueError(
            f"architecture {kind!r} is not supported; supported: {', '.join(_ARCHITECTURES)} "
            "(post-norm models such as gemma2, gemma3 and olmo2 are not: their residual is not the sum of head outputs)"
        )
    read_config, convert = _ARCHITECTURES[kind]
    cfg = HookedTransformerConfig.from_dict(
        {
            "model_name": kind,
            "original_architecture": type(hf).__name__,
            "dtype": hf.dtype,
            "device": str(hf.device),
            "n_ctx": hf.config.max_position_embeddings,
            "d_vocab": hf.config.vocab_size,
            "n_layers": hf.config.num_hidden_layers,
            "n_heads": hf.config.num_attention_heads,
            "d_model": hf.config.hidden_size,
            "ungroup_grouped_query_attention": not grouped_kv,
            **read_config(hf.config),
        }
    )
    hooked = HookedTransformer(cfg, tokenizer=None, move_to_device=False)
    state = {name: weight.to(hf.device, hf.dtype) for name, weight in convert(hf, cfg).items()}
    hooked.load_and_process_state_dict(
        state, fold_ln=False, center_writing_weights=False, center_unembed=False, fold_value_biases=False
    )
    return hooked.to(hf.device, print_details=False).eval().requires_grad_(False)


def _gpt2(config: Any) -> dict[str, Any]:
    if config.scale_attn_by_inverse_layer_idx:
        raise ValueError("gpt2 with scale_attn_by_inverse_layer_idx is not supported")
    return {
        "d_head": config.n_embd // config.n_head,
        "d_mlp": config.n_inner or 4 * config.n_embd,
        "eps": config.layer_norm_epsilon,
        "act_fn": _activation(config.activation_function),
        "use_attn_scale": config.scale_attn_weights,
        "normalization_type": "LN",
    }


def _gpt_neo(config: Any) -> dict[str, Any]:
    return {
        "d_head": config.hidden_size // config.num_heads,
        "d_mlp": config.intermediate_size or 4 * config.hidden_size,
        "eps": config.layer_norm_epsilon,
        "act_fn": _activation(config.activation_function),
        "attn_types": list(config.attention_layers),
        "use_local_attn": True,
        "window_size": config.window_size,
        "use_attn_scale": False,
        "normalization_type": "LN",
    }


def _gpt_neox(config: Any) -> dict[str, Any]:
    if not getattr(config, "attention_bias", True):
        raise ValueError("gpt_neox with attention_bias=False is not supported")
    d_head = config.hidden_size // config.num_attention_heads
    rope = _rope(config)
    return {
        "d_head": d_head,
        "d_mlp": config.intermediate_size,
        "eps": config.layer_norm_eps,
        "act_fn": _activation(config.hidden_act),
        "parallel_attn_mlp": config.use_parallel_residual,
        "positional_embedding_type": "rotary",
        "rotary_adjacent_pairs": False,
        "rotary_base": rope["rope_theta"],
        "rotary_dim": round(rope.get("partial_rotary_factor", 1.0) * d_head),
        "normalization_type": "LN",
    }


def _llama(config: Any) -> dict[str, Any]:
    for switch in ("attention_bias", "mlp_bias"):
        if getattr(config, switch, False):
            raise ValueError(f"{config.model_type} with {switch}=True is not supported: its biases would be dropped")
    if getattr(config, "sliding_window", None) and getattr(
        config, "use_sliding_window", config.model_type == "mistral"
    ):
        raise ValueError(f"{config.model_type} with a sliding window ({config.sliding_window}) is not supported")
    d_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = _rope(config)
    settings = {
        "d_head": d_head,
        "d_mlp": config.intermediate_size,
        "eps": config.rms_norm_eps,
        "act_fn": _activation(config.hidden_act),
        "n_key_value_heads": _key_value_heads(config),
        "positional_embedding_type": "rotary",
        "rotary_adjacent_pairs": False,
        "rotary_base": rope["rope_theta"],
        "rotary_dim": d_head,
        "final_rms": True,
        "gated_mlp": True,
        "normalization_type": "RMS",
    }
    if rope["rope_type"] == "llama3":
        settings |= {
            "use_NTK_by_parts_rope": True,
            "NTK_by_parts_low_freq_factor": rope["low_freq_factor"],
            "NTK_by_parts_high_freq_factor": rope["high_freq_factor"],
            "NTK_by_parts_factor": rope["factor"],
            "NTK_original_ctx_len": rope["original_max_position_embeddings"],
        }
    return settings


def _key_value_heads(config: Any) -> int | None:
    """Number of K/V heads; None means one a head, except where TransformerLens' converter always needs a number."""
    heads: int = config.num_key_value_heads
    always = config.model_type in ("mistral", "qwen2")
    return heads if always or heads != config.num_attention_heads else None


def _rope(config: Any) -> Mapping[str, Any]:
    rope: Mapping[str, Any] = config.rope_parameters
    if rope["rope_type"] not in ("default", "llama3"):
        raise ValueError(
            f"{config.model_type} with rope type {rope['rope_type']!r} is not supported; supported: default, llama3"
        )
    return rope


def _activation(name: str) -> str:
    known = {"gelu": "gelu", "gelu_new": "gelu_new", "gelu_fast": "gelu_fast", "relu": "relu", "silu": "silu"}
    if name not in known:
        raise ValueError(f"activation function {name!r} is not supported; supported: {', '.join(known)}")
    return known[name]


_ARCHITECTURES: dict[str, tuple[Callable[[Any], dict[str, Any]], Callable[[Any, Any], dict[str, Tensor]]]] = {
    "gpt2": (_gpt2, convert_gpt2_weights),
    "gpt_neo": (_gpt_neo, convert_neo_weights),
    "gpt_neox": (_gpt_neox, convert_neox_weights),
    "llama": (_llama, convert_llama_weights),
    "mistral": (_llama, convert_mistral_weights),
    "qwen2": (_llama, convert_qwen2_weights),
}


def _check_agreement(name: str, hf: PreTrainedModel, hooked: HookedTransformer) -> None:
    """Compare both forms' logits on fixed pseudo-random ids, relative to the spread of the logits."""
    length = min(16, hf.config.max_position_embeddings)
    ids = (torch.arange(2 * length, device=hf.device) * 7919 + 13).view(2, length) % hf.config.vocab_size
    with torch.inference_mode():
        expected = hf(input_ids=ids, use_cache=False).logits.float()
        actual = hooked(ids, return_type="logits", prepend_bos=False).float()
    for label, logits in (("transformers", expected), ("TransformerLens", actual)):
        if not torch.isfinite(logits).all():
            raise ValueError(f"model {name!r}: NaN or infinite logits in {label}; its weights are broken")
    error = float((expected - actual).abs().max() / expected.std().clamp_min(1e-6))
    if error > _AGREEMENT[hf.dtype]:
        raise ValueError(
            f"model {name!r}: TransformerLens and transformers disagree by {error:.1e} of the logits' spread "
            f"(accepted: {_AGREEMENT[hf.dtype]:.0e}); memcirc would measure another model"
        )
    logging.getLogger(__name__).debug("%s: both forms agree to %.1e of the logits' spread", name, error)
