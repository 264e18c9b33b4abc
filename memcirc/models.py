"""Load a causal language model once: transformers holds the weights and runs scoring and generation, circuits and
patching read the same parameters (:mod:`memcirc.decoder`), and the logits of both are compared before the model is
handed out.

A ``HookedTransformer`` is made only where somebody asks for one.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memcirc.alignment import Alignment, on_any_prompts
from memcirc.checkpoints import check_finite
from memcirc.decoder.forward import logits
from memcirc.decoder.from_hooked import read_hooked, refuse_unsupported
from memcirc.decoder.from_transformers import read_transformers
from memcirc.decoder.weights import Weights
from memcirc.devices import moved, named_dtype, resolve_device
from memcirc.hub import cached_revision, snapshot
from memcirc.ids import Ids, id_rows
from memcirc.lens import HookedTransformer, is_hooked
from memcirc.pretrained import load_pretrained
from memcirc.tokenizers import load_tokenizer

Made = TypeVar("Made")

_AGREEMENT = {torch.float64: 1e-5, torch.float32: 1e-3, torch.bfloat16: 1e-1, torch.float16: 2e-2}


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model, as transformers' object or, a micro-model, as a ``HookedTransformer``.

    ``twin`` is the same model without the memory, of which ablation ``twin`` takes its values
    (:func:`memcirc.twins.beside`).

    Parameters may be changed, in place under ``torch.no_grad()`` or by new tensors: what was made of them
    (:attr:`weights`, :attr:`fingerprint`, :attr:`hooked`) is then made anew. torch does not count what is written in
    place through ``.data``: matrices that are views follow it, while copies (Gemma's gains, some fused projections) and
    the fingerprint stay as they were.
    """

    name: str
    source: PreTrainedModel | HookedTransformer
    tokenizer: Any
    revision: str | None = None
    grouped_kv: bool = False
    twin: "Model | None" = None

    def __repr__(self) -> str:
        shape = self.weights.graph.shape
        layers = f"{shape.n_layers} layers of {shape.n_heads} heads"
        return f"Model({self.name!r}, {layers}, {self.dtype_name} on {self.device})"

    @property
    def hf(self) -> PreTrainedModel | None:
        """transformers' model; None for a micro-model."""
        return self.source if isinstance(self.source, PreTrainedModel) else None

    @property
    def hooked(self) -> HookedTransformer:
        """The model as TransformerLens has it, made when it is asked for: the weights are then held twice. What is
        changed in it does not change the model.

        Raises:
            ValueError: a model type that TransformerLens' converters, or ours around them, do not know.
        """
        if is_hooked(self.source):
            return self.source
        from memcirc.architectures import hooked_twin  # TransformerLens comes with it

        with torch.random.fork_rng(range(torch.cuda.device_count())):  # its parameters are drawn before they are set
            return self._made("hooked", partial(hooked_twin, self.source, self.grouped_kv))

    @property
    def weights(self) -> Weights:
        """The parameters as the engine reads them."""
        return self._made("weights", self._read)

    def _made(self, name: str, make: Callable[[], Made]) -> Made:
        """What is made from the parameters, and anew when they were changed."""
        state = tuple((p.data_ptr(), p._version) for p in self.source.parameters())
        if name not in self._kept or self._kept[name][0] != state:
            self._kept[name] = state, make()
        return self._kept[name][1]  # type: ignore[no-any-return]

    @cached_property
    def _kept(self) -> dict[str, tuple[Any, Any]]:
        """What was made, with the state of the parameters then."""
        return {}

    def with_twin(self, twin: "Model | None") -> "Model":
        """The model with another twin; what was made of its parameters is shared."""
        other = replace(self, twin=twin)
        other.__dict__["_kept"] = self._kept
        return other

    def _read(self) -> Weights:
        with torch.inference_mode(False), torch.no_grad():  # the record outlives the caller's mode
            if is_hooked(self.source):
                return read_hooked(self.source)
            return read_transformers(self.source, self.grouped_kv)

    @property
    def device(self) -> torch.device:
        return self._parameter.device

    @property
    def dtype(self) -> torch.dtype:
        return self._parameter.dtype

    @property
    def _parameter(self) -> Tensor:
        return next(iter(self.source.parameters()))

    @cached_property
    def d_vocab(self) -> int:
        """Tokens that it reads."""
        return len(self.weights.embedding)

    @cached_property
    def n_ctx(self) -> int:
        return self.weights.n_ctx

    @cached_property
    def causal(self) -> bool:
        """Whether a position sees only what stands before it."""
        return self.weights.causal

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    @property
    def fingerprint(self) -> str:
        """SHA-256 (first 16 hex digits) over names, shapes and values of all weights."""
        return self._made("fingerprint", self._hashed)

    def _hashed(self) -> str:
        digest = hashlib.sha256()
        for name, weight in sorted(self.source.named_parameters()):
            digest.update(f"{name}{tuple(weight.shape)}{weight.dtype}".encode())
            digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().data)
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
        [batch, pos, d_vocab], in float32 or above.

        Raises:
            ValueError: prompts of several lengths or beyond the context, ids that are not whole numbers or outside the
                vocabulary.
        """
        rows = id_rows(ids)
        if len({len(row) for row in rows}) != 1:
            raise ValueError(f"{len(rows)} prompts of {len({len(row) for row in rows})} lengths; one length is needed")
        tokens = torch.tensor(rows, device=self.device)
        outside = tokens[(tokens < 0) | (tokens >= self.d_vocab)]
        if len(outside):
            raise ValueError(f"token id {int(outside[0])} is outside the vocabulary 0..{self.d_vocab - 1}")
        if tokens.shape[1] > self.n_ctx:
            raise ValueError(f"a prompt has {tokens.shape[1]} positions; the model reads at most {self.n_ctx}")
        with torch.inference_mode():
            return logits(self.weights, tokens)

    def decode(self, ids: Any) -> str:
        """Text of token ids; the ids themselves where there is no tokenizer."""
        ids = [int(i) for i in ids]
        if self.tokenizer is None:
            return " ".join(map(str, ids))
        return str(self.tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    @property
    def alignment(self) -> Alignment:
        """How far the model and its twin share a basis; of a model that has one."""
        assert self.twin is not None
        twin = self.twin
        return self._made(f"alignment {twin.fingerprint}", lambda: on_any_prompts(self.weights, twin.weights))

    def statement(self) -> dict[str, Any]:
        """What a result must carry to name the model it was measured on, and its twin where it has one."""
        own = {
            "model": self.name,
            "revision": self.revision,
            "model_fingerprint": self.fingerprint,
            "tokenizer_fingerprint": self.tokenizer_fingerprint,
            "dtype": self.dtype_name,
            "device": str(self.device),
        }
        if self.twin is None:
            return own
        told = {"": self.twin.name, "_revision": self.twin.revision, "_fingerprint": self.twin.fingerprint}
        return own | {f"twin{key}": value for key, value in told.items()} | {"twin_cosine": min(self.alignment.cosine)}


def load_model(
    source: Any,
    device: str = "auto",
    dtype: str = "float32",
    tokenizer: Any = None,
    grouped_kv: bool = False,
    revision: str | None = None,
) -> Model:
    """Load a causal language model.

    Weights larger than memory stay in their files where these are the safetensors of a folder and the model is run on
    the CPU in the dtype that is stored. It is slower, and said on stderr; such parameters are read only: writing to one
    ends the process.

    Args:
        source: hub name, local folder (also that of a PEFT adapter, which is merged into its base), ``.gguf`` file,
            transformers model, or ``HookedTransformer`` (also without norm, attention-only or bidirectional, as
            micro-models need).
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` (CUDA where there is one).
        dtype: one of float32, float64, bfloat16, float16, or ``auto``: as the weights are stored.
        tokenizer: a transformers tokenizer, or where to load one; default: the one beside the model, if any.
        grouped_kv: keep grouped keys and values grouped (one K and one V input a group); default: one a head.
        revision: of a hub name: a branch, tag or commit, as checkpoints of a training are published.

    Raises:
        FileNotFoundError: a folder without weights, a name that is neither a folder nor on the hub, or not with that
            revision.
        ValueError: unsupported architecture (names the supported ones), unknown dtype or device; another dtype than
            is stored, and no memory for the copy; a file that cannot be read; weights that do not fit the
            configuration, an adapter, NaN or an infinity in a weight; logits that disagree with transformers.
    """
    torch_dtype = named_dtype(dtype)
    torch_device = resolve_device(device)
    if is_hooked(source):
        hooked, name = moved(source, torch_device, torch_dtype), source.cfg.model_name or "custom"
        check_finite(name, hooked.named_parameters())
        refuse_unsupported(hooked.cfg)
        return Model(name, hooked, load_tokenizer(tokenizer))
    if isinstance(source, PreTrainedModel):
        hf, name, found = source, source.config._name_or_path or type(source).__name__, tokenizer
        revision = None
    elif not isinstance(source, str | Path):
        raise ValueError(f"a {type(source).__name__} is no model; accepted: a name, a folder, a model object")
    else:
        name = str(source)
        where = name if revision is None else str(snapshot(name, revision))
        hf, found = load_pretrained(where, torch_dtype, torch_device.type == "cpu"), tokenizer or where
        revision = Path(where).name if where != name else None if Path(name).exists() else cached_revision(name)
    if hf.get_output_embeddings() is None:
        raise ValueError(f"a {type(hf).__name__} has no unembedding; a causal language model is needed")
    if getattr(hf, "_hf_peft_config_loaded", False):
        raise ValueError(f"model {name!r} carries an adapter, which would be passed over; merge it first")
    hf = moved(hf, torch_device, torch_dtype, ours=hf is not source)
    check_finite(name, hf.named_parameters())
    model = Model(name, hf, load_tokenizer(found, optional=tokenizer is None), revision, grouped_kv)
    _check_agreement(model)
    return model


def _check_agreement(model: Model) -> None:
    """Compare both readers' logits on fixed pseudo-random ids: the root of their mean squared difference, relative to
    the spread of the logits. (The largest difference of many would grow with the vocabulary in half precision, where
    transformers rounds the residual stream and memcirc does not.)"""
    assert model.hf is not None
    length = min(16, model.n_ctx)
    ids = (torch.arange(2 * length, device=model.device) * 7919 + 13).view(2, length) % model.d_vocab
    with torch.inference_mode():
        expected = model.hf(input_ids=ids, use_cache=False).logits.float()
    actual = model.logits(ids).float()
    for label, found in (("transformers", expected), ("memcirc", actual)):
        if not torch.isfinite(found).all():
            raise ValueError(f"model {model.name!r}: NaN or infinite logits in {label}; its weights are broken")
    error = float((expected - actual).square().mean().sqrt() / expected.std().clamp_min(1e-6))
    if error > _AGREEMENT[model.dtype]:
        raise ValueError(
            f"model {model.name!r}: memcirc and transformers disagree by {error:.1e} of the logits' spread "
            f"(accepted: {_AGREEMENT[model.dtype]:.0e}); another model would be measured"
        )
    logging.getLogger(__name__).debug("%s: both agree to %.1e of the logits' spread", model.name, error)
