"""What transformers loads by name: a model's weights, from the hub or from a folder, a folder being looked through
first (:mod:`memcirc.checkpoints`). A ``.gguf`` file is unpacked, a PEFT adapter is merged into its base."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
)
from transformers.utils.logging import disable_progress_bar
from transformers.utils.peft_utils import find_adapter_config_file

from memcirc.artifacts import content_hash, file_hash
from memcirc.checkpoints import (
    ADAPTER_CONFIG,
    CONFIGS,
    check_adapter,
    check_fit,
    check_folder,
    check_whole_gguf,
    gguf_of,
    read_object,
    weight_files,
)
from memcirc.config import in_one_line
from memcirc.decoder.families import family_of
from memcirc.hub import only_cached
from memcirc.mapped import state_on_disk


def load_pretrained(name: str, dtype: torch.dtype | None, stays: bool = True) -> PreTrainedModel:
    """transformers' model of a hub name, a folder, a ``.gguf`` file or the folder of an adapter.

    Args:
        dtype: of the weights; None: as they are stored.
        stays: the model is run on the CPU; one that goes elsewhere may still have the dtype that is stored.

    Raises:
        FileNotFoundError: a folder without weights, or a name that is neither a folder nor on the hub.
        ValueError: what :func:`memcirc.models.load_model` says of files.
    """
    path = Path(name)
    gguf = gguf_of(path)
    if gguf is not None:
        return _from_gguf(gguf, dtype)
    if (path / ADAPTER_CONFIG).is_file():
        return _with_adapter(path, dtype)
    local = path.is_dir()
    if local:
        check_folder(path)
    try:
        cached = local or only_cached(name)
        adapter = None if local else find_adapter_config_file(name, local_files_only=cached)
        if adapter is None:
            config = AutoConfig.from_pretrained(name, local_files_only=cached, trust_remote_code=False)
            family_of(config)
            # transformers' eager attention would add Falcon's biases twice
            kernel = "sdpa" if getattr(config, "alibi", False) else "eager"
            if not stays:
                dtype = None
            state = state_on_disk(name, weight_files(path), dtype) if local and stays else None
            if state is None:
                hf, info = _read(name, kernel, dtype=dtype or "auto", local_files_only=cached)
            else:
                hf, info = _on_disk(path, config, state, attn_implementation=kernel, dtype=dtype or "auto")
    except MemoryError:
        raise
    except Exception as error:  # transformers raises what the files make it raise
        if isinstance(error, OSError) and not local:
            raise FileNotFoundError(
                f"model {name!r} is neither a local folder nor to be had from the hub ({in_one_line(error)})"
            ) from None
        raise ValueError(f"model {name!r} cannot be loaded ({in_one_line(error)})") from None
    if adapter is not None:
        raise ValueError(f"model {name!r} holds an adapter on the hub; download its folder and give that")
    check_fit(name, info)
    return hf


def load_config(name: str) -> Any:
    """transformers' configuration of what :func:`load_pretrained` loads; of an adapter, its base's.

    Raises:
        FileNotFoundError: there is none at hand.
        ValueError: a GGUF file that is cut off, or the package missing that reads it.
    """
    path = Path(name)
    if (path / ADAPTER_CONFIG).is_file():
        return load_config(base_of(path))
    gguf = gguf_of(path)
    if gguf is not None:
        needs("gguf", gguf)
        check_whole_gguf(gguf)
    where = {"gguf_file": gguf.name} if gguf is not None else {}
    try:
        return AutoConfig.from_pretrained(
            str(gguf.parent) if gguf is not None else name,
            trust_remote_code=False,
            local_files_only=path.exists() or only_cached(name),
            **where,
        )
    except Exception as error:  # transformers raises what the files make it raise
        raise FileNotFoundError(f"model {name!r}: no configuration can be read ({in_one_line(error)})") from None


def _on_disk(
    folder: Path, config: Any, state: dict[str, Tensor], **options: Any
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model of a folder around weights that are mapped already, else as :func:`_read` gives it."""
    with _without_report():
        hf, info = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
            None, config=config, state_dict=state, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    hf.config._name_or_path = hf.name_or_path = str(folder)
    if (folder / "generation_config.json").is_file():
        hf.generation_config = GenerationConfig.from_pretrained(str(folder))
    return hf, info


def _read(name: str, kernel: str = "eager", **options: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model, and what transformers says of the weights that fit or do not."""
    with _without_report():
        hf, info = AutoModelForCausalLM.from_pretrained(
            name,
            attn_implementation=kernel,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **options,
        )
    return hf, info


def _from_gguf(path: Path, dtype: torch.dtype | None) -> PreTrainedModel:
    """The model of a GGUF file, its weights unpacked."""
    needs("gguf", path)
    check_whole_gguf(path)
    try:
        hf, info = _read(str(path.parent), gguf_file=path.name, dtype=dtype or torch.float32, local_files_only=True)
    except MemoryError:
        raise
    except Exception as error:  # transformers raises what the file makes it raise
        raise ValueError(f"{path}: no model can be read from it ({in_one_line(error)})") from None
    check_fit(str(path), info)
    if hasattr(hf.config, "quantization_config"):  # the weights are plain now, and can be saved as such
        del hf.config.quantization_config
    return hf


def _with_adapter(folder: Path, dtype: torch.dtype | None) -> PreTrainedModel:
    """An adapter's base with the adapter merged into it."""
    check_adapter(folder)
    needs("peft", folder / ADAPTER_CONFIG)
    from peft import PeftModel

    named = base_of(folder)
    try:
        base = load_pretrained(named, dtype)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{folder / ADAPTER_CONFIG}: its base cannot be loaded: {error}") from None
    try:
        merged: PreTrainedModel = PeftModel.from_pretrained(base, str(folder)).merge_and_unload(
            safe_merge=True  # into copies: what lies on disk cannot be written to
        )
    except MemoryError:
        raise
    except Exception as error:  # peft raises what the files make it raise
        raise ValueError(f"{folder}: the adapter does not fit its base {named!r} ({in_one_line(error)})") from None
    return merged


def base_of(folder: Path) -> str:
    """The base that an adapter names: a hub name, or a folder, looked for from here and from the adapter's own folder.

    Raises:
        ValueError: none is named, or the adapter itself.
    """
    path = folder / ADAPTER_CONFIG
    named = read_object(path).get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise ValueError(f"{path}: names no base model (base_model_name_or_path)")
    if not Path(named).exists() and (folder / named).exists():
        named = str(folder / named)
    if Path(named).resolve() == folder.resolve():
        raise ValueError(f"{path}: names itself as its base (base_model_name_or_path)")
    return named


def needs(package: str, path: Path) -> None:
    """Raises ValueError where a package that reads a file is missing."""
    if find_spec(package) is None:
        raise ValueError(f"{path}: the package {package} is needed to read it; pip install 'memcirc[{package}]'")


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


def load_quietly() -> None:
    """Keep the hub's client from telling of its retries and, where stderr is no terminal, bars from being drawn."""
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        disable_progress_bar()


def weights_stamp(name: str) -> str | None:
    """A cheap identity of what a local folder's model computes: hashes of weights and configurations
    (:func:`memcirc.artifacts.file_hash`), of an adapter also its base's; None for a hub name."""
    folder = Path(name)
    if (folder / ADAPTER_CONFIG).is_file():
        return content_hash({"adapter": stamp_of(folder, "adapter*"), "base": weights_stamp(base_of(folder))})
    if gguf_of(folder) is not None:
        return content_hash({"gguf": file_hash(gguf_of(folder) or folder)})
    return stamp_of(folder, "*.safetensors", "pytorch_model*.bin", "*.index.json", *CONFIGS)


def stamp_of(folder: Path, *patterns: str) -> str | None:
    """A hash over the files of a folder that match; None where there is no such folder."""
    if not folder.is_dir():
        return None
    paths = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    return content_hash({path.name: file_hash(path) for path in paths})
