"""Small branches of random numbers, for the tests of what a block computes."""

import torch
from torch import Tensor

from memcirc.decoder.norm import Norm
from memcirc.decoder.weights import Attention, Linear, Projection

D_MODEL, D_HEAD, HEADS = 5, 2, 3


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attention(**parts: object) -> Attention:
    given = {
        "norm": None,
        "query": Projection(drawn(HEADS, D_HEAD, D_MODEL, seed=1), drawn(HEADS, D_HEAD, seed=2)),
        "key": Projection(drawn(HEADS, D_HEAD, D_MODEL, seed=3), drawn(HEADS, D_HEAD, seed=4)),
        "value": Projection(drawn(HEADS, D_HEAD, D_MODEL, seed=5), drawn(HEADS, D_HEAD, seed=6)),
        "out": Linear(drawn(HEADS * D_HEAD, D_MODEL, seed=7), drawn(D_MODEL, seed=8)),
        "scale": 0.5,
        **parts,
    }
    return Attention(**given)  # type: ignore[arg-type]


POSTS = (None, Norm(False, 1e-6, drawn(D_MODEL, seed=10)), Norm(False, 1e-6))
