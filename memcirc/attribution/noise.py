"""The baseline that knows nothing: standard normal numbers."""

import torch
from torch import Tensor

from memcirc.attribution.method import Method
from memcirc.engine.request import Request
from memcirc.graph import graph_of


def noise(request: Request) -> Tensor:
    """Scores drawn by the request's seed."""
    generator = torch.Generator().manual_seed(request.seed)
    shape = (len(request.pairs),) * request.per_example + (graph_of(request.model).n_edges,)
    return torch.randn(shape, generator=generator)


METHOD = Method(noise)
