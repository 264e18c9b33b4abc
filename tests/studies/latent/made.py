"""Results of the study of latent thoughts made by hand."""

import numpy as np

from memcirc.studies.latent.results import LatentCell, LatentResults


def cell(policy: str, component: str, layer: int | None, step: int, switched: int) -> LatentCell:
    return LatentCell(policy, component, layer, step, 10, switched, 9 - switched, 1, 0.1, 0.9, 100 + switched)


def latent_results() -> LatentResults:
    cells = [
        cell(policy, *place, switched)
        for policy, numbers in (("propagate", (9, 3, 0)), ("freeze_latents", (1, 5, 7)))
        for place, switched in zip((("latent_in", None, 0), ("resid_post", 0, 1), ("z", 1, 0)), numbers, strict=True)
    ]
    return LatentResults(
        accuracy={0: 0.1, 1: 0.2, 2: 1.0},
        partition={"clean right, corrupt wrong": 10, "clean wrong, corrupt wrong": 2},
        cells=cells,
        by_group={"propagate, latent_in": np.array([[1.0, 1.0], [0.02, 1.0]])},
        expected={"propagate, latent_in": np.array([[1.0, 1.0], [0.0, 1.0]])},
        group_names=["0", "1"],
        n_layers=2,
        n_steps=2,
        self_patch=1e-8,
        examples=[{"clean": "1 + 2", "says": "3", "corrupt": "1 + 3", "says there": "4", "true answers": "3 / 4"}],
    )
