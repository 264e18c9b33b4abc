"""Rankings by what edges carry of one kind of text and not of another."""

import pytest
import torch

from memcirc.attribution.differences import difference
from memcirc.attribution.scores import EdgeScores
from memcirc.graph import Graph, GraphShape

GRAPH = Graph(GraphShape(1, 1, 1))


def scores(first: float, *rest: float) -> EdgeScores:
    values = torch.zeros(GRAPH.n_edges)
    values[: 1 + len(rest)] = torch.tensor([first, *rest])
    return EdgeScores(GRAPH, values, {"method": "eap"})


def test_by_hand() -> None:
    """Shares .5, .3, -.2 of memorized text and .9, 0, .1 of other text."""
    own, other = scores(5, 3, -2), scores(90, 0, 10)
    for weight, expected in ((0.0, [0.5, 0.3, -0.2]), (1.0, [-0.4, 0.3, -0.3]), (0.5, [0.05, 0.3, -0.25])):
        found = difference(own, other, weight)
        assert found.values[:3].tolist() == pytest.approx(expected)
        assert not found.values[3:].any()
        assert found.origin == {"method": "eap, difference", "weight": weight}
    assert difference(own, other).top(1, "signed").edges == {GRAPH.edges[1]}


def test_units_do_not_matter() -> None:
    own, other = scores(5, 3, -2), scores(90, 0, 10)
    scaled = EdgeScores(GRAPH, other.values * 1e-6, {})
    torch.testing.assert_close(difference(own, other).values, difference(own, scaled).values)


def test_errors() -> None:
    larger = Graph(GraphShape(2, 1, 1))
    with pytest.raises(ValueError, match="not the same graph"):
        difference(scores(1), EdgeScores(larger, torch.ones(larger.n_edges)))
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"weight {weight!r} is no finite number of at least 0"):
            difference(scores(1), scores(1), weight)
    with pytest.raises(ValueError, match="all 0"):
        difference(scores(1), scores(0))
