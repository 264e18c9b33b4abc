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
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformer_lens import HookedTransformer
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from memcirc.architectures import hooked_twin
from memcirc.artifacts import content_hash, file_hash

Module = TypeVar("Module", PreTrainedModel, HookedTransformer)

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
CONFIGURATIONS = ("config.json", "generation_config.json")
TOKENIZER_FILES = (
    "*token*.json", "*token*.model", "*vocab*", "merges.txt", "spiece.model", "sentencepiece*.model", "*.tiktoken",
)  # fmt: skip
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
    def causal(self) -> bool:
        """Whether a position sees only what stands before it."""
        return self.hooked.cfg.attention_dir == "causal"

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
    elif not isinstance(source, str | Path):
        raise ValueError(f"a {type(source).__name__} is no model; accepted: a name, a folder, a model object")
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
    """A cheap identity of what a local folder's model computes: hashes of weights and configurations
    (:func:`memcirc.artifacts.file_hash`); None for a hub name."""
    return _stamp(name, "*.safetensors", "pytorch_model*.bin", "*.index.json", *CONFIGURATIONS)


def tokenizer_stamp(name: str) -> str | None:
    """A cheap identity of a local folder's tokenizer: hashes of its files; None for a hub name."""
    return _stamp(name, *TOKENIZER_FILES)


def _stamp(name: str, *patterns: str) -> str | None:
    folder = Path(name)
    if not folder.is_dir():
        return None
    paths = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    return content_hash({path.name: file_hash(path) for path in paths})


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
        raise FileNotFoundError(
            f"{str(source)!r} is neither a local folder with a tokenizer nor a model to be had from the hub ({reason})"
        ) from None


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
