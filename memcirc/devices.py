"""Where a model computes, and in which precision, by name; and where tensors on the CPU get their memory."""

import copy
import ctypes
from contextlib import suppress
from typing import Any, TypeVar

import torch
from torch import nn

from memcirc.lens import is_hooked

Module = TypeVar("Module", bound=nn.Module)
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}

MMAP_THRESHOLD, TRIM_THRESHOLD, KEPT_BYTES = -3, -1, 256 << 20
"""Of glibc's ``mallopt``: from which size on an allocation gets pages of its own, and how much that is free at the end
of the heap is kept."""


def keep_freed_memory() -> None:
    """Have this process keep up to 256 MiB of the memory that tensors give up, for those that come next.

    By default large ones are given fresh pages each time, whose first touch is slow: a fifth of the time of a sweep on
    a CPU. Without glibc nothing changes.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for threshold in (MMAP_THRESHOLD, TRIM_THRESHOLD):
            mallopt(threshold, KEPT_BYTES)


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
