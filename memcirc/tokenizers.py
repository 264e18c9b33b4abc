"""A model's tokenizer, from the hub, from a folder, from within a GGUF file; an adapter's is that of its base where it
has none."""

import warnings
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from memcirc.artifacts import content_hash, file_hash
from memcirc.checkpoints import (
    ADAPTER_CONFIG,
    TOKENIZER_CONFIGS,
    VOCABULARIES,
    check_tokenizer_files,
    check_whole_gguf,
    gguf_of,
    vocabulary_files,
)
from memcirc.config import in_one_line
from memcirc.hub import only_cached
from memcirc.pretrained import base_of, needs, stamp_of


def load_tokenizer(source: Any, optional: bool = False) -> Any:
    """A tokenizer object as it is, or the one of a hub name, a local folder or a ``.gguf`` file.

    Args:
        optional: None where there is none; one within a GGUF file that cannot be read is told of.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a file of it cannot be read.
    """
    if not isinstance(source, str | Path):
        return source
    path = Path(source)
    if path.is_dir() or path.is_file():
        return _tokenizer_at(path, optional)
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


def tokenizer_stamp(name: str) -> str | None:
    """A cheap identity of a local tokenizer: hashes of its files; None for a hub name."""
    path = Path(name)
    folder = path.parent if path.is_file() else path
    if folder.is_dir() and not vocabulary_files(folder) and (gguf := gguf_of(path)) is not None:
        return content_hash({"gguf": file_hash(gguf)})
    return stamp_of(folder, *VOCABULARIES, *TOKENIZER_CONFIGS)


def _tokenizer_at(path: Path, optional: bool) -> Any:
    """The tokenizer of a folder, or of what lies beside a file."""
    folder = path if path.is_dir() else path.parent
    files = vocabulary_files(folder)
    if not files and (folder / ADAPTER_CONFIG).is_file():
        return load_tokenizer(base_of(folder), optional)
    gguf = None if files else gguf_of(path)
    if gguf is not None:
        return _tokenizer_of_gguf(gguf, optional)
    if not files:
        if optional:
            return None
        raise FileNotFoundError(f"folder {str(folder)!r} has no tokenizer (tokenizer.json, vocab.json or the like)")
    check_tokenizer_files(folder)
    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # tokenizers raises Exception itself
        raise ValueError(f"{files[0]}: no tokenizer can be read from it ({in_one_line(error)})") from None


def _tokenizer_of_gguf(path: Path, optional: bool) -> Any:
    needs("gguf", path)
    check_whole_gguf(path)
    try:
        return AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name, local_files_only=True)
    except Exception as error:  # transformers raises what the file makes it raise
        reason = f"{path}: no tokenizer can be read from it ({in_one_line(error)})"
    if not optional:
        raise ValueError(reason)
    warnings.warn(f"{reason}; the model is loaded without one", stacklevel=2)
    return None
