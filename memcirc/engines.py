"""The engines by name; a new one is a module as :class:`memcirc.engine.protocol.Engine` says, and a line here."""

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from memcirc.engine.protocol import Engine

ENGINES = {"native": "memcirc.engine", "auto-circuit": "memcirc.interop.auto_circuit"}


def engine_module(name: str) -> "Engine":
    """The engine's module, imported now.

    Raises:
        ValueError: no engine of that name.
    """
    if name not in ENGINES:
        raise ValueError(f"engine {name!r} is not known; accepted: {', '.join(ENGINES)}")
    return cast("Engine", importlib.import_module(ENGINES[name]))
