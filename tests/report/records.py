"""Records of checks with known numbers; what a test does not say is nought."""

from dataclasses import fields
from typing import Any, TypeVar

from memcirc.interventions import RunSettings, Way
from memcirc.report.circuits import FoundCircuit
from memcirc.report.evidence import Evidence
from memcirc.verification.record import AnyRecord, OfPassages, Record
from memcirc.verification.result import Verification

R = TypeVar("R", bound=Record)
NOUGHT: dict[object, object] = {int: 0, float: 0.0, str: "", bool: False}
CIRCUIT = FoundCircuit(
    way=RunSettings("tree"), n_edges=5, graph_edges=100, target=0.85, target_met=True, faithfulness=0.9, monotone=True,
    n_layers=1, n_heads=1, scores={},
)  # fmt: skip


def record(
    kind: type[R], /, *, mode: str = "tree", ablation: str = "resample", reverse: bool = False, **given: Any
) -> R:
    """A record of a type."""
    own = {f.name: _nought(f.type) for f in fields(kind) if f.name not in ("way", "mode")}
    found_in = {"mode": mode} if issubclass(kind, OfPassages) else {}
    return kind(way=Way(mode, ablation, reverse), **{**own, **found_in, **given})


def evidence(*records: AnyRecord, circuits: dict[str, FoundCircuit] | None = None) -> Evidence:
    """The evidence of a task named ``t``."""
    return Evidence("t", Verification({}, records), circuits or {})


def _nought(kind: object) -> object:
    if kind in NOUGHT:
        return NOUGHT[kind]
    if "None" in str(kind):
        return None
    return {} if "Mapping[str" in str(kind) and not str(kind).startswith("collections.abc.Sequence") else ()
