"""Results of the study made by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from memcirc.patching.restoring import PairEffect, Restored
from memcirc.patching.result import Sweep
from memcirc.patching.sites import KINDS
from memcirc.report.sections import Section
from memcirc.studies.pii.alignment import SwappedAlignment
from memcirc.studies.pii.circuit_results import (
    FoundCircuit,
    GroupKept,
    InjectedCircuits,
    OtherSplit,
    PlaceCount,
    Suppressed,
)
from memcirc.studies.pii.results import INTO, OUT_OF, PiiResults, Recall, SiteEffect
from memcirc.studies.pii.samples import Sample
from memcirc.verification.faithfulness import Measurement
from memcirc.verification.removal import FOUND_ON, MEMORIZED, Removal
from tests.report.records import record

ALIGNED, APART = SwappedAlignment((0.9, 0.8), (1.0, 0.7), {"one": -1.0}), SwappedAlignment((0.9, 0.2), (1.0, 0.7), {})


def effect(kind: str, layer: int | None, nats: float, alias: str | None = None) -> SiteEffect:
    hook = KINDS[kind].hook if layer is None else f"blocks.{layer}.{KINDS[kind].hook}"
    return SiteEffect(hook, kind, layer, nats, nats - 1, nats + 1, nats / 8, 0.5, alias)


MLP_0, ATTENTION_1 = "blocks.0.hook_mlp_out", "blocks.1.hook_attn_out"
EFFECTS = [
    effect("embed", None, 0.5), effect("resid_pre", 0, 0.5, "embed"), effect("attn_out", 0, -3.0),
    effect("mlp_out", 0, 1.0), effect("resid_post", 0, 2.0), effect("attn_out", 1, 1.0), effect("mlp_out", 1, 2.0),
    effect("resid_post", 1, 6.0),
]  # fmt: skip


def measurement(mode: str, reverse: bool, faithfulness: float | None) -> Measurement:
    return record(Measurement, mode=mode, ablation="twin", reverse=reverse, faithfulness=faithfulness, n_pairs=5)


def removal(text: str, added: float, low: float | None = None) -> Removal:
    return record(
        Removal, text=text, added=added, low=low, high=None if low is None else 2 * added - low, intact=1.0,
        removed=1.0 + added, guessing=6.0, n_passages=5,
    )  # fmt: skip


def made_circuits() -> InjectedCircuits:
    """Two edges of ten keep .8 of the records, one is necessary and leaves .125; it costs decoys .05 nats."""
    return InjectedCircuits(
        n_records={"train": 2, "validation": 1, "test": 5},
        n_edges=10,
        target=0.85,
        sufficient=FoundCircuit(
            ("input->a0.h0<q>", "input->m0"), 0.9, measurement("tree", False, 0.8), {0: 0.0, 2: 0.8}
        ),
        necessary=FoundCircuit(("input->m0",), 0.9, measurement("edge", True, 0.875), {0: 0.0, 1: 0.875}),
        other_splits=[OtherSplit(1, 3, 0.9, 1, 0.1, 1.0), OtherSplit(2, 5, 0.7, 2, None, 0.5)],
        groups=[GroupKept("copies", "20", 4, 1, 0.75, 0.25), GroupKept("type", "id", 2, 0, None, None)],
        places=[PlaceCount("read by", "layer 0", 6, 2, 1)],
        removal=[
            removal(MEMORIZED, 2.0, 1.5), removal(FOUND_ON, 2.5), removal("decoys", 0.05), removal("other", -0.01)
        ],
        suppression=[
            Suppressed(MEMORIZED, 5, 1.0, 0.2, 0.0, 0.0), Suppressed(FOUND_ON, 3, 1.0, 0.0, 0.0, 0.0),
            Suppressed("decoys", 4, 0.0, 0.0, 0.75, 0.5), Suppressed("other", 4, 0.0, 0.0, 0.9, 0.8),
        ],
        warning=None,
    )  # fmt: skip


def made_results() -> PiiResults:
    """Two blocks of two heads; a recitation that rises with the copies; the gap between the models is 8 nats."""
    none: dict[str, Any] = {}
    sweep = Sweep(pa.table({}), *[none] * 4, (), (), (), (), "denoise", (), 1e-7)
    parts = {"embed": np.array(1.0), "heads": np.ones((2, 2)), "mlps": np.ones(2), "biases": np.array(0.5)}
    return PiiResults(
        samples=[],
        analysed=[Sample("Ann is", " 12", (1,), (2, 3), copies=20)],
        recall=[
            Recall("target", "copies 1", 4, 0, -9.0), Recall("target", "type id", 4, 2, -3.0),
            Recall("target", "copies 20", 4, 3, -1.0), Recall("target", "all injected", 8, 3, -5.0),
            Recall("control", "all injected", 8, 0, -13.0),
        ],
        alignment=ALIGNED,
        sweeps={INTO: sweep},
        effects={INTO: EFFECTS, OUT_OF: [replace(e, effect=-e.effect) for e in EFFECTS]},
        token_effects={"blocks.0.hook_attn_out": [1.0, 2.0], "blocks.0.attn.hook_q": [9.0, 9.0]},
        ends={"control": -10.0, "target": -2.0},
        heads=np.zeros((2, 2, 2)),
        patterns={"a head": np.eye(3)},
        pattern_tokens=["a", "b", "c"],
        direct={"target": parts, "control": {name: np.asarray(value / 2) for name, value in parts.items()}},
        paths={"a0 → logits": 1.5},
        path_matrix=np.eye(2),
        path_nodes=["input", "a0"],
        restored=Restored((MLP_0, ATTENTION_1), 5.6, (3.0, 5.0, 5.7), (MLP_0, "elsewhere", ATTENTION_1), True),
        restored_goal=5.4,
        pairs=[PairEffect("a", "b", 1.0, 2.0, 5.0)],
        copies={"10": [1.0, 2.0, 3.0], "20": [2.0, 4.0, 6.0]},
        separation=None,
        variants=[],
        generations=[],
        agreement=1.0,
        circuits=made_circuits(),
        misaligned=None,
        misaligned_effects=[],
    )  # fmt: skip


def rows(section: Section, number: int = 0) -> list[dict[str, Any]]:
    return [dict(row) for row in section.tables[number].rows]
