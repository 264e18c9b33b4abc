"""Random circuits of the same size: is the found one better than chance?

``uniform``: n edges drawn without replacement. At small sizes such a circuit is almost always disconnected, and then
its faithfulness is exactly 0 in tree mode under resample, so the share that is disconnected is stated with every
comparison.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memcirc.circuit import connected
from memcirc.graph import Graph


def uniform_circuits(graph: Graph, n_edges: int, n_circuits: int, generator: torch.Generator) -> Tensor:
    """bool [n_circuits, graph.n_edges], each row with exactly n_edges True."""
    keys = torch.rand(n_circuits, graph.n_edges, generator=generator)
    masks = torch.zeros(n_circuits, graph.n_edges, dtype=torch.bool)
    return masks.scatter_(1, keys.argsort(1)[:, :n_edges], True)


def disconnected_share(graph: Graph, masks: Tensor) -> float:
    """Share of circuits without any path from the input to the logits."""
    return float(np.mean([not bool(connected(graph, mask).any()) for mask in masks]))


@dataclass(frozen=True)
class RandomComparison:
    """A circuit's faithfulness beside that of random circuits of its size.

    ``quantile``: share of random circuits below it. ``p_value`` = (1 + number at least as good) / (1 + number drawn).
    """

    kind: str
    mode: str
    ablation: str
    reverse: bool
    direction: str
    metric: str
    n_edges: int
    n_circuits: int
    found: float
    mean: float
    std: float
    q05: float
    median: float
    q95: float
    highest: float
    disconnected: float
    quantile: float
    p_value: float

    def row(self) -> Mapping[str, Any]:
        return asdict(self)


def spread(values: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation and quantiles of the faithfulness of random circuits."""
    q05, median, q95 = np.quantile(values, [0.05, 0.5, 0.95]).tolist()
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "q05": q05,
        "median": median,
        "q95": q95,
        "highest": float(values.max()),
    }


def rank_among(found: float, values: np.ndarray) -> dict[str, float]:
    """Where a found value stands among random ones."""
    return {
        "quantile": float((values < found).mean()),
        "p_value": float((1 + (values >= found).sum()) / (1 + len(values))),
    }
