"""Rankings made of others, by hand and by brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memcirc.attribution.ensembles import consistent, ensemble
from memcirc.attribution.scores import EdgeScores
from memcirc.graph import Graph, GraphShape

GRAPH = Graph(GraphShape(n_layers=1, n_heads=1, n_kv_heads=1, has_mlp=True, parallel=False))
N = GRAPH.n_edges


def scores_of(values: torch.Tensor, method: str = "eap", own: torch.Tensor | None = None) -> EdgeScores:
    return EdgeScores(GRAPH, values, {"method": method}, own)


def drawn(seed: int) -> EdgeScores:
    return scores_of(torch.randn(N, generator=torch.Generator().manual_seed(seed)), f"method {seed}")


@given(st.integers(0, 10**6), st.sampled_from(["mean", "min", "max"]))
def test_places_are_put_together_edge_by_edge(seed: int, how: str) -> None:
    one, other = drawn(seed), drawn(seed + 1)
    found = ensemble([one, other], how)
    for edge in range(N):
        places = [1 - scores.order().tolist().index(edge) / N for scores in (one, other)]
        assert float(found.values[edge]) == pytest.approx(getattr(np, how)(places))
    assert found.origin["method"] == f"ensemble, {how}"
    assert found.origin["of"] == [f"method {seed}", f"method {seed + 1}"]


def test_an_ensemble_of_one_keeps_its_order() -> None:
    scores = drawn(0)
    assert ensemble([scores], "mean").order().tolist() == scores.order().tolist()


def test_edges_whose_sign_depends_on_the_documents_come_last() -> None:
    own = torch.zeros(6, N).double()
    own[:, 0] = torch.tensor([1.0, 1, 1, 1, 1, 1])
    own[:, 1] = torch.tensor([50.0, -9, -9, -9, -9, -9])
    own[:, 2] = -0.5
    scores = scores_of(own.mean(0), own=own)
    groups = [[0], [1], [2], [3], [4], [5]]
    assert scores.order().tolist()[:3] == [0, 1, 2]
    found = consistent(scores, groups, seed=0)
    assert found.order().tolist()[:3] == [0, 2, 1]
    assert found[GRAPH.edges[1]] > 0
    together = consistent(scores, [[0, 1, 2, 3, 4, 5]], seed=0)
    assert together.order().tolist()[:3] == [0, 1, 2]


def test_what_cannot_be_put_together_is_refused() -> None:
    other = Graph(GraphShape(n_layers=2, n_heads=1, n_kv_heads=1, has_mlp=True, parallel=False))
    with pytest.raises(ValueError, match="ensemble by 'median' is not known; accepted: mean, min, max"):
        ensemble([drawn(0)], "median")
    for several in ([], [drawn(0), EdgeScores(other, torch.ones(other.n_edges))]):
        with pytest.raises(ValueError, match="those of one graph are needed, at least one"):
            ensemble(several, "mean")
    with pytest.raises(ValueError, match="keep no pair's own"):
        consistent(drawn(0), [[0]], seed=0)
    own = torch.randn(4, N).double()
    for groups in ([], [[0], [1], [2]], [[0], [0], [1], [2]], [[-4], [-3], [-2], [-1]]):
        with pytest.raises(ValueError, match="do not hold each of the 4 scored pairs once"):
            consistent(scores_of(own.mean(0), own=own), groups, seed=0)
