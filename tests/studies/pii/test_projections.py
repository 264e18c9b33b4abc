import numpy as np
import pytest

from memcirc.studies.pii.projections import pca, silhouette


def clouds(distance: float, n: int = 15) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    points = generator.normal(size=(2 * n, 8))
    points[n:, 0] += distance
    return points, np.repeat([0, 1], n)


def test_components_are_those_of_the_covariance() -> None:
    points, _ = clouds(5)
    coordinates, shares = pca(points, 3)
    values = np.linalg.eigvalsh(np.cov(points.T))[::-1]
    np.testing.assert_allclose(coordinates.var(0, ddof=1), values[:3])
    np.testing.assert_allclose(shares, values[:3] / values.sum())


def test_a_silhouette_by_hand() -> None:
    """Points 0, 1 and 10, 11: inside 1, outside 10.5 and 9.5 from either side."""
    points = np.array([[0.0], [1.0], [10.0], [11.0]])
    expected = np.mean([9.5 / 10.5, 8.5 / 9.5, 8.5 / 9.5, 9.5 / 10.5])
    assert silhouette(points, np.array([0, 0, 1, 1])) == pytest.approx(expected)


def test_a_silhouette_needs_two_groups_of_two() -> None:
    with pytest.raises(ValueError, match="not groups of 1, 3"):
        silhouette(np.zeros((4, 1)), np.array([0, 1, 1, 1]))
