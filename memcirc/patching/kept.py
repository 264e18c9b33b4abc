"""What sweeps have measured, kept in a folder: a sweep that was interrupted behind another one does not measure that
again. A file is named by everything that its numbers depend on, so that one of another sweep is never taken for it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from memcirc.artifacts import atomic, content_hash
from memcirc.patching.measuring import Measured

TENSORS = ("values", "base", "source", "resolution")
HEADER = "measured"


def kept(folder: Path, identity: Any, measure: Callable[[], Measured]) -> Measured:
    """What is kept under an identity (plain values), or what ``measure`` gives, which is kept then. A damaged file is
    measured anew."""
    path = folder / f"{content_hash(identity)}.safetensors"
    found = _read(path) if path.is_file() else None
    if found is not None:
        return found
    measured = measure()
    tensors = {name: getattr(measured, name).cpu().contiguous() for name in TENSORS}
    told = {"reasons": list(measured.reasons), "self_patch": measured.self_patch}
    with atomic(path) as partial:
        save_file(tensors, partial, metadata={HEADER: json.dumps({**told, "digest": _digest(tensors, told)})})
    return measured


def _digest(tensors: Mapping[str, Tensor], told: Mapping[str, Any]) -> str:
    """What a file's numbers and words hash to, so that a bit that has turned is noticed."""
    whole = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in TENSORS:
        whole.update(repr(tuple(tensors[name].shape)).encode() + tensors[name].numpy().tobytes())
    return whole.hexdigest()


def _read(path: Path) -> Measured | None:
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads((file.metadata() or {})[HEADER])
            tensors = {name: file.get_tensor(name) for name in TENSORS}
        if told.pop("digest") != _digest(tensors, told):
            return None
        return Measured(**tensors, reasons=tuple(told["reasons"]), self_patch=float(told["self_patch"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None
