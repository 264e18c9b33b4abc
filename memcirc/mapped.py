"""Weights larger than the memory at hand: they stay in their safetensors files, of which a page is read when it is
needed and given up when the room is. transformers maps such files too, but so that they could be written to, which
Linux counts as memory that is taken: it refuses what is more than there is."""

import json
import mmap
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from memcirc.work.progress import say

LENGTH_BYTES = 8
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
LIMITED = ("RLIMIT_DATA", "VmData"), ("RLIMIT_AS", "VmSize")


def free_bytes() -> int:
    """Memory that this process can still take: what the machine has, and what the process's own limits leave."""
    found = [_available()]
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return found[0]
    for limit, used in LIMITED:
        most = resource.getrlimit(getattr(resource, limit))[0]
        if most != resource.RLIM_INFINITY:
            found.append(most - _told("/proc/self/status", used))
    return max(min(found), 0)


def _available() -> int:
    """Of the machine: what Linux calls available, elsewhere all there is."""
    told = _told("/proc/meminfo", "MemAvailable")
    if told or not hasattr(os, "sysconf"):
        return told or 1 << 62
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _told(path: str, field: str) -> int:
    """Bytes that a file of Linux gives for a field, in kB there; 0 where there is none."""
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB", Path(path).read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0


def in_bytes(n: int) -> str:
    """Bytes as they are told."""
    return f"{n / 1e9:.2f} GB" if n >= 10_000_000 else f"{n / 1e6:.2f} MB"


def can_stay_on_disk(files: list[Path]) -> bool:
    """Whether weights can be used where they are."""
    return all(path.suffix == ".safetensors" for path in files)


def state_on_disk(name: str, files: list[Path], dtype: torch.dtype | None) -> dict[str, Tensor] | None:
    """The weights of safetensors files, mapped to be read only, which is said; None where they find room in memory, or
    lie in other files.

    Args:
        dtype: that the weights are to have; None: as they are stored.

    Raises:
        ValueError: of another dtype than is stored, which takes a copy, they find no room.
    """
    if not can_stay_on_disk(files):
        return None
    facts = [each for path in files for each in _header(path).values()]
    changed = [each for each in facts if dtype not in (None, each.dtype) and each.dtype.is_floating_point]
    stored = sum(each.stop - each.start for each in facts)
    kept = stored - sum(each.stop - each.start for each in changed)
    copied = 0 if dtype is None else sum(prod(each.shape) * dtype.itemsize for each in changed)
    free = free_bytes()
    if max(stored, kept + copied) <= free:
        return None
    if copied > free:
        raise ValueError(
            f"its weights as {str(dtype).removeprefix('torch.')} are a copy of {in_bytes(copied)}, and "
            f"{in_bytes(free)} of memory are free; accepted: dtype auto, by which they stay on disk as they are stored"
        )
    if kept:
        say(f"model {name}: {larger_than_memory(stored, free)}")
    return {key: tensor for path in files for key, tensor in _mapped(path)}


def larger_than_memory(stored: int, free: int) -> str:
    """What becomes of weights that find no room, in words."""
    return (
        f"{in_bytes(stored)} of weights are larger than memory ({in_bytes(free)} free): they stay on disk and are "
        "read when they are needed, which is slower"
    )


@dataclass(frozen=True)
class _Facts:
    """Of a tensor in a file: its numbers lie from byte ``start`` to ``stop``."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    stop: int


def _mapped(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of all that a safetensors file holds. Writing to one ends the process."""
    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    for name, facts in _header(path).items():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given buffer is not writable")
            flat = torch.frombuffer(pages, dtype=facts.dtype, count=prod(facts.shape), offset=facts.start)
        yield name, flat.view(facts.shape)


def _header(path: Path) -> dict[str, _Facts]:
    """What a file says of each tensor."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        told = json.loads(file.read(length))
    told.pop("__metadata__", None)
    return {
        name: _Facts(
            DTYPES[each["dtype"]], tuple(each["shape"]), *(LENGTH_BYTES + length + n for n in each["data_offsets"])
        )
        for name, each in told.items()
    }
