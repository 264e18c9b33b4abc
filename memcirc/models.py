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
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformer_lens import HookedTransformer
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils.logging import disable_progress_bar
from transformers.utils.peft_utils import find_adapter_config_file

from memcirc.architectures import hooked_twin
from memcirc.artifacts import content_hash, file_hash
from memcirc.checkpoints import (
    CONFIGS,
    TOKENIZER_CONFIGS,
    VOCABULARIES,
    check_finite,
    check_fit,
    check_folder,
    check_tokenizer_files,
    vocabulary_files,
)
from memcirc.config import in_one_line
from memcirc.hub import cached_revision, only_cached
from memcirc.ids import Ids, id_rows

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

    def __repr__(self) -> str:
        cfg = self.hooked.cfg
        return f"Model({self.name!r}, {cfg.n_layers} layers of {cfg.n_heads} heads, {self.dtype_name} on {self.device})"

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

    def logits(self, ids: Ids) -> Tensor:
        """One plain forward pass: token ids [batch, pos], or [pos] of one prompt, as a tensor, an array or lists ->
        [batch, pos, d_vocab], in the model's dtype.

        Raises:
            ValueError: prompts of several lengths, ids that are not whole numbers or outside the vocabulary.
        """
        rows = id_rows(ids)
        if len({len(row) for row in rows}) != 1:
            raise ValueError(f"{len(rows)} prompts of {len({len(row) for row in rows})} lengths; one length is needed")
        tokens = torch.tensor(rows, device=self.device)
        outside = tokens[(tokens < 0) | (tokens >= self.d_vocab)]
        if len(outside):
            raise ValueError(f"token id {int(outside[0])} is outside the vocabulary 0..{self.d_vocab - 1}")
        with torch.inference_mode():
            if self.hf is not None:
                return self.hf(input_ids=tokens, use_cache=False).logits
            return self.hooked(tokens, return_type="logits", prepend_bos=False)

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
        ValueError: unsupported architecture (names the supported ones), unknown dtype or device; a file that cannot be
            read; weights that do not fit the configuration, an adapter, NaN or an infinity in a weight; logits that
            disagree with transformers.
    """
    torch_dtype = _dtype(dtype)
    torch_device = resolve_device(device)
    if isinstance(source, HookedTransformer):
        hooked = _moved(source, torch_device, torch_dtype)
        check_finite(source.cfg.model_name or "custom", hooked.named_parameters())
        return Model(source.cfg.model_name or "custom", hooked, None, _tokenizer(tokenizer))
    if isinstance(source, PreTrainedModel):
        hf, name, found = source, source.config._name_or_path or type(source).__name__, tokenizer
        revision = None
    elif not isinstance(source, str | Path):
        raise ValueError(f"a {type(source).__name__} is no model; accepted: a name, a folder, a model object")
    else:
        name = str(source)
        hf, found = _from_pretrained(name, torch_dtype), tokenizer or name
        revision = None if Path(name).is_dir() else cached_revision(name)
    if hf.get_output_embeddings() is None:
        raise ValueError(f"a {type(hf).__name__} has no unembedding; a causal language model is needed")
    if getattr(hf, "_hf_peft_config_loaded", False):
        raise ValueError(f"model {name!r} carries an adapter, which would be passed over; merge it first")
    hf = _moved(hf, torch_device, torch_dtype)
    check_finite(name, hf.named_parameters())
    hooked = hooked_twin(hf, grouped_kv)
    _check_agreement(name, hf, hooked)
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


def load_quietly() -> None:
    """Keep the hub's client from telling of its retries and, where stderr is no terminal, bars from being drawn."""
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        disable_progress_bar()


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a hub name or local folder.

    Raises:
        FileNotFoundError: there is none.
    """
    return _tokenizer(name, optional=False)


def weights_stamp(name: str) -> str | None:
    """A cheap identity of what a local folder's model computes: hashes of weights and configurations
    (:func:`memcirc.artifacts.file_hash`); None for a hub name."""
    return _stamp(name, "*.safetensors", "pytorch_model*.bin", "*.index.json", *CONFIGS)


def tokenizer_stamp(name: str) -> str | None:
    """A cheap identity of a local folder's tokenizer: hashes of its files; None for a hub name."""
    return _stamp(name, *VOCABULARIES, *TOKENIZER_CONFIGS)


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
    local = folder.is_dir()
    if local:
        check_folder(folder)
    try:
        cached = local or only_cached(name)
        adapter = None if local else find_adapter_config_file(name, local_files_only=cached)
        if adapter is None:
            with _without_report():
                hf, info = AutoModelForCausalLM.from_pretrained(
                    name,
                    dtype=dtype,
                    attn_implementation="eager",
                    local_files_only=cached,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,
                )
    except MemoryError:
        raise
    except Exception as error:  # transformers raises what the files make it raise
        if isinstance(error, OSError) and not local:
            raise FileNotFoundError(
                f"model {name!r} is neither a local folder nor to be had from the hub ({in_one_line(error)})"
            ) from None
        raise ValueError(f"model {name!r} cannot be loaded ({in_one_line(error)})") from None
    if adapter is not None:
        raise ValueError(f"model {name!r} holds an adapter, which would be passed over; merge it into its base first")
    check_fit(name, info)
    return hf


@contextmanager
def _without_report() -> Iterator[None]:
    """Keep transformers from printing a table of the weights that do not fit; :func:`check_fit` names them."""
    report = logging.getLogger("transformers.utils.loading_report")
    level = report.level
    report.setLevel(logging.ERROR)
    try:
        yield
    finally:
        report.setLevel(level)


def _tokenizer(source: Any, optional: bool = True) -> Any:
    """A tokenizer object as it is, or one loaded from a name; None where there is none and none is needed."""
    if not isinstance(source, str | Path):
        return source
    if Path(source).is_dir():
        return _tokenizer_of_folder(Path(source), optional)
    name = str(source)
    try:
        return AutoTokenizer.from_pretrained(name, local_files_only=only_cached(name))
    except (OSError, ValueError, KeyError) as error:
        if optional:
            return None
        raise FileNotFoundError(
            f"{name!r} is neither a local folder with a tokenizer nor a model to be had from the hub "
            f"({in_one_line(error)})"
        ) from None


def _tokenizer_of_folder(folder: Path, optional: bool) -> Any:
    files = vocabulary_files(folder)
    if not files:
        if optional:
            return None
        raise FileNotFoundError(f"folder {str(folder)!r} has no tokenizer (tokenizer.json, vocab.json or the like)")
    check_tokenizer_files(folder)
    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # tokenizers raises Exception itself
        raise ValueError(f"{files[0]}: no tokenizer can be read from it ({in_one_line(error)})") from None


def _check_agreement(name: str, hf: PreTrainedModel, hooked: HookedTransformer) -> None:
    """Compare both forms' logits on fixed pseudo-random ids, relative to the spread of the logits."""
    length = min(16, hooked.cfg.n_ctx)
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
