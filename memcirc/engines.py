"""The engines by name. Each is a module with the same two functions, ``mask_gradients`` and ``prepare``."""

import importlib
from typing import Any

ENGINES = {"native": "memcirc.engine", "auto-circuit": "memcirc.interop.auto_circuit"}


def engine_module(name: str) -> Any:
    """The engine's module, imported now.

    Raises:
        ValueError: no engine of that name.
    """
    if name not in ENGINES:
        raise ValueError(f"engine {name!r} is not known; accepted: {', '.join(ENGINES)}")
    return importlib.import_module(ENGINES[name])
