"""Where a model computes, and in which precision, by name."""

import copy
from typing import Any, TypeVar

import torch
from torch import nn

from memcirc.lens import is_hooked

Module = TypeVar("Module", bound=nn.Module)
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}


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


def named_dtype(name: str) -> torch.dtype | None:
    """The dtype of a name, None for ``auto``; ValueError for another word."""
    if name not in (*DTYPES, "auto"):
        raise ValueError(f"dtype {name!r} is not known; accepted: {', '.join(DTYPES)}, auto")
    return DTYPES.get(name)


def moved(model: Module, device: torch.device, dtype: torch.dtype | None, ours: bool = False) -> Module:
    """The model itself where it already is as wanted or is ``ours``, else a copy: the caller's object is never
    changed."""
    weight = next(model.parameters())
    dtype = dtype or weight.dtype
    if weight.device == device and weight.dtype == dtype and not model.training:
        return model
    moved = model if ours else copy.deepcopy(model)
    quiet: dict[str, Any] = {"print_details": False} if is_hooked(moved) else {}
    return moved.to(device, **quiet).to(dtype, **quiet).eval()
