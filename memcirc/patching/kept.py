"""What sweeps have measured, kept in a folder: a sweep that was interrupted behind another one does not measure that
again. A file is named by everything that its numbers depend on, so that one of another sweep is never taken for it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

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
    told = json.dumps({"reasons": measured.reasons, "self_patch": measured.self_patch})
    with atomic(path) as partial:
        tensors = {name: getattr(measured, name).cpu().contiguous() for name in TENSORS}
        save_file(tensors, partial, metadata={HEADER: told})
    return measured


def _read(path: Path) -> Measured | None:
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads((file.metadata() or {})[HEADER])
            tensors = {name: file.get_tensor(name) for name in TENSORS}
        return Measured(**tensors, reasons=tuple(told["reasons"]), self_patch=float(told["self_patch"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None
