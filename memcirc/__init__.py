"""memcirc finds and verifies the circuits by which a language model recites its training data.

    model = memcirc.load_model("EleutherAI/gpt-neo-125m")
    memcirc.scan(model, texts)                                       # what of some texts is recited?
    pairs = memcirc.load_pairs("pairs.json", model)                  # or make_pairs, from scores and divergence_points
    train, validation, test = pairs.split()
    scores = memcirc.attribute(model, train)                         # a score for every edge of the model
    found = memcirc.find_minimal(model, validation, scores, mode="tree")
    memcirc.verify(model, test, scores, circuit=found.circuit, mode="tree")

Models: load_model, beside (a twin), graph_of, supported_types. Passages: scan, score, divergence_points. Pairs: Pair,
Pairs, make_pairs, load_pairs. Attribution: attribute, EdgeScores, load_scores. Circuits: Circuit, load_circuit,
circuit_runner, run_circuit, find_minimal. Verification: verify, Verification, passages_of, transfer, areas. Activation
patching: patch_sweep, Sweep. A finished run of the ``memcirc`` command: Run.

Records show themselves in a notebook. A caller's mistake is a ValueError, FileNotFoundError or TypeError of one line.
Importing memcirc is cheap: a name is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memcirc.attribution.attribute import attribute as attribute
    from memcirc.attribution.scores import EdgeScores as EdgeScores
    from memcirc.attribution.scores import load_scores as load_scores
    from memcirc.circuit import Circuit as Circuit
    from memcirc.circuits.minimal import find_minimal as find_minimal
    from memcirc.circuits.runner import circuit_runner as circuit_runner
    from memcirc.circuits.runner import run_circuit as run_circuit
    from memcirc.decoder.families import supported_types as supported_types
    from memcirc.graph import graph_of as graph_of
    from memcirc.interop.reading import load_circuit as load_circuit
    from memcirc.memorization.divergence import divergence_points as divergence_points
    from memcirc.memorization.scan import scan as scan
    from memcirc.memorization.scores import score as score
    from memcirc.models import load_model as load_model
    from memcirc.pairs.file import load_pairs as load_pairs
    from memcirc.pairs.make import make_pairs as make_pairs
    from memcirc.pairs.record import Pair as Pair
    from memcirc.pairs.record import Pairs as Pairs
    from memcirc.patching.result import Sweep as Sweep
    from memcirc.patching.sweep import patch_sweep as patch_sweep
    from memcirc.run.reading import Run as Run
    from memcirc.twins import beside as beside
    from memcirc.verification.areas import areas as areas
    from memcirc.verification.passages import passages_of as passages_of
    from memcirc.verification.result import Verification as Verification
    from memcirc.verification.transfer import transfer as transfer
    from memcirc.verification.verify import verify as verify

_HOMES = {
    "load_model": "memcirc.models",
    "beside": "memcirc.twins",
    "graph_of": "memcirc.graph",
    "supported_types": "memcirc.decoder.families",
    "score": "memcirc.memorization.scores",
    "scan": "memcirc.memorization.scan",
    "divergence_points": "memcirc.memorization.divergence",
    "make_pairs": "memcirc.pairs.make",
    "load_pairs": "memcirc.pairs.file",
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
    "load_circuit": "memcirc.interop.reading",
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
