"""Pictures of high-dimensional points, and how well two groups of them separate."""

import numpy as np
from scipy.spatial.distance import pdist, squareform


def pca(points: np.ndarray, dimensions: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Principal components: coordinates [n, dimensions] and shares of the variance [dimensions]. A component's sign is
    chosen so that its largest loading is positive."""
    centred = points - points.mean(0)
    left, singular, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])
    shares = singular**2 / max(float((singular**2).sum()), 1e-12)
    return (left * singular * signs)[:, :dimensions], shares[:dimensions]


def silhouette(points: np.ndarray, groups: np.ndarray) -> float:
    """Mean silhouette of two or more groups (Rousseeuw 1987): 1 well apart, 0 on top of one another, below 0 mixed up.

    Raises:
        ValueError: fewer than two groups, or one of a single point.
    """
    names, counts = np.unique(groups, return_counts=True)
    if len(names) < 2 or counts.min() < 2:
        sizes = ", ".join(map(str, counts))
        raise ValueError(f"a silhouette needs two groups of at least two points, not groups of {sizes}")
    distances = squareform(pdist(points))
    means = np.stack([distances[:, groups == name].mean(1) for name in names], axis=1)
    own = groups[:, None] == names
    size = counts[own.argmax(1)]
    inside = means[own] * size / (size - 1)  # the distance to itself is 0 and does not count
    outside = np.where(own, np.inf, means).min(1)
    return float(((outside - inside) / np.maximum(np.maximum(inside, outside), 1e-12)).mean())
