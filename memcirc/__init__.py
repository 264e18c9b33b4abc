"""memcirc finds and verifies the circuits by which a language model recites its training data.

Importing it is cheap: a name is loaded when it is first used.
"""

import importlib
from typing import Any

_HOMES = {
    "load_model": "memcirc.models",
    "graph_of": "memcirc.graph",
    "score": "memcirc.memorization.scores",
    "divergence_points": "memcirc.memorization.divergence",
    "make_pairs": "memcirc.pairs.make",
    "load_pairs": "memcirc.pairs.record",
    "Pair": "memcirc.pairs.record",
    "Pairs": "memcirc.pairs.record",
    "attribute": "memcirc.attribution.attribute",
    "EdgeScores": "memcirc.attribution.scores",
    "load_scores": "memcirc.attribution.scores",
    "Circuit": "memcirc.circuit",
    "circuit_runner": "memcirc.circuits.runner",
    "run_circuit": "memcirc.circuits.runner",
    "find_minimal": "memcirc.circuits.minimal",
    "patch_sweep": "memcirc.patching.sweep",
    "Sweep": "memcirc.patching.result",
    "Run": "memcirc.run.reading",
    "load_circuit": "memcirc.interop.mib",
    "areas": "memcirc.verification.areas",
    "verify": "memcirc.verification.verify",
    "Verification": "memcirc.verification.result",
    "passages_of": "memcirc.verification.passages",
    "transfer": "memcirc.verification.transfer",
}

__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'memcirc' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
