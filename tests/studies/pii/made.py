"""Results of the study made by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from memcirc.patching.restoring import PairEffect, Restored
from memcirc.patching.result import Sweep
from memcirc.report.sections import Section
from memcirc.studies.pii.alignment import SwappedAlignment
from memcirc.studies.pii.results import INTO, OUT_OF, PiiResults, Recall, SiteEffect
from memcirc.studies.pii.samples import Sample

ALIGNED, APART = SwappedAlignment((0.9, 0.8), (1.0, 0.7), {"one": -1.0}), SwappedAlignment((0.9, 0.2), (1.0, 0.7), {})


def effect(kind: str, layer: int | None, nats: float, alias: str | None = None) -> SiteEffect:
    hook = f"blocks.{layer}.{kind}" if layer is not None else kind
    return SiteEffect(hook, kind, layer, nats, nats - 1, nats + 1, nats / 8, 0.5, alias)


EFFECTS = [
    effect("embed", None, 0.5), effect("resid_pre", 0, 0.5, "embed"), effect("attn_out", 0, -3.0),
    effect("mlp_out", 0, 1.0), effect("resid_post", 0, 2.0), effect("attn_out", 1, 1.0), effect("mlp_out", 1, 2.0),
    effect("resid_post", 1, 6.0),
]  # fmt: skip


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
        restored=Restored(("m0", "a1"), 5.6, (3.0, 5.0, 5.7), ("m0", "m1", "a1"), True),
        restored_goal=5.4,
        pairs=[PairEffect("a", "b", 1.0, 2.0, 5.0)],
        copies={"10": [1.0, 2.0, 3.0], "20": [2.0, 4.0, 6.0]},
        separation=None,
        variants=[],
        generations=[],
        agreement=1.0,
        misaligned=None,
        misaligned_effects=[],
    )  # fmt: skip


def rows(section: Section, number: int = 0) -> list[dict[str, Any]]:
    return [dict(row) for row in section.tables[number].rows]
