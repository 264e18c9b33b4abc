"""Files that torch wrote, read as tensors and plain values alone: a pickle may run any code, so nothing else is taken
from one."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memcirc.checkpoints import refuse_pointer

DEEPEST = 8
PLAIN = (str, int, float, bool, type(None))


def plain_content(path: Path) -> Any:
    """What a file of ``torch.save`` holds: tensors on the CPU, numbers and text in dicts, lists and tuples.

    Raises:
        FileNotFoundError: no such file.
        ValueError: anything else in it, or a file that is none or is cut off. Nothing of it has been run.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    refuse_pointer(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch thinks of a pickle's age; it is read or refused
            content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception:  # pickle raises what the bytes make it raise
        raise ValueError(
            f"{path}: not a file of tensors and plain values alone; nothing else is read from one"
        ) from None
    _check(path, content, DEEPEST)
    return content


def _check(path: Path, value: Any, depth: int) -> None:
    if type(value) is Tensor and value.layout is torch.strided and value.device.type == "cpu":
        return
    if type(value) in PLAIN:
        return
    if depth and type(value) in (dict, list, tuple):
        for part in (*value, *value.values()) if isinstance(value, dict) else value:
            _check(path, part, depth - 1)
        return
    raise ValueError(f"{path}: a {type(value).__name__} in it; accepted are plain tensors, numbers and text")
