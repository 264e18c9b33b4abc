"""Results of the IOI study made by hand."""

import numpy as np
import pyarrow as pa
import torch

from memcirc.patching.direct import DirectEffects
from memcirc.patching.patches import Patch
from memcirc.patching.result import Sweep
from memcirc.patching.screen import ScreenCheck
from memcirc.patching.sites import Site
from memcirc.studies.ioi.findings import METRIC
from memcirc.studies.ioi.prompts import ROLES, IoiPair
from memcirc.studies.ioi.results import IoiResults, Screened

POSITIONS = len(ROLES)


def sweep(effects: np.ndarray, *axes: str) -> Sweep:
    """Two examples of the same effects, between 0 and 4; labels name the cells."""
    cells = tuple(tuple(int(i) for i in cell) for cell in np.ndindex(effects.shape))
    sites = (Site("z", cell[-2], None, (cell[-1],)) for cell in cells)
    patches = tuple(Patch((site,), " ".join(map(str, cell))) for site, cell in zip(sites, cells, strict=True))
    values = np.repeat(4 * effects.reshape(-1, 1), 2, axis=1)
    return Sweep(
        pa.table({}), {METRIC: values}, {METRIC: np.zeros(2)}, {METRIC: np.full(2, 4.0)}, {METRIC: 0.0}, axes,
        effects.shape, cells, patches, "denoise", (), 0.0,
    )  # fmt: skip


def ioi_results() -> IoiResults:
    """Two layers of two heads; the residual stream carries the giver at its own position, then at the end."""
    blocks = np.zeros((3, 2, POSITIONS))
    blocks[0, 0, ROLES.index("giver")], blocks[0, 1, -1], blocks[1, 0, -1] = 1.0, 0.75, 0.625
    heads = np.array([[0.5, -0.25], [0.125, 0.0]])
    sweeps = {}
    for direction in ("denoise", "noise"):
        sweeps[f"block_every ({direction})"] = sweep(blocks, "kind", "layer", "pos")
        sweeps[f"head_out_all_pos ({direction})"] = sweep(heads, "layer", "head")
        sweeps[f"head_all_pos_every ({direction})"] = sweep(np.stack([heads] * 5), "kind", "layer", "head")
    direct = DirectEffects(torch.ones(2), torch.ones(2, 2, 2), torch.ones(2, 2), torch.full((2,), 0.5))
    return IoiResults(
        pairs=[IoiPair("Ann gave", "Bob gave", " Bob", " Ann")],
        correct={"clean": 0.9, "corrupt": 0.5},
        logit_diff={"clean": 7.5, "corrupt": -7.0},
        selftest={"clean run": 1.0, "corrupt run": 0.0, "half way": 0.5},
        sweeps=sweeps,
        direct=direct,
        attention={"head 0.0": np.eye(POSITIONS)},
        position_labels=list(ROLES),
        top_tokens={"Ann gave": [(" a", 0.5), (" a", 0.25)]},
        screens=[Screened("head_q_by_pos", 0.99, 0.5, 0.4, ScreenCheck(3, 6, 0.8, 0.9, 1.0))],
        factual=None,
        factual_labels=(),
    )
