"""Pictures of high-dimensional points, and how well two groups of them separate."""

import numpy as np
from scipy.spatial.distance import pdist, squareform

PERPLEXITY_SHARE = 4


def pca(points: np.ndarray, dimensions: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Principal components: coordinates [n, dimensions] and shares of the variance [dimensions]. A component's sign is
    chosen so that its largest loading is positive."""
    centred = points - points.mean(0)
    left, singular, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])
    shares = singular**2 / max(float((singular**2).sum()), 1e-12)
    return (left * singular * signs)[:, :dimensions], shares[:dimensions]


def tsne(
    points: np.ndarray, perplexity: float = 10.0, steps: int = 600, rate: float = 50.0, seed: int = 0
) -> np.ndarray:
    """Exact t-SNE (van der Maaten and Hinton 2008) in two dimensions: early exaggeration for a quarter of the steps,
    then momentum 0.8. For up to a few hundred points; distances between far groups mean nothing.

    Args:
        perplexity: lowered to a quarter of the points where there are few.
    """
    n = len(points)
    affinity = _affinities(points, min(perplexity, (n - 1) / PERPLEXITY_SHARE))
    place = np.random.default_rng(seed).normal(0, 1e-2, (n, 2))
    velocity, gains = np.zeros_like(place), np.ones_like(place)
    for step in range(steps):
        early = step < steps // 4
        kernel = 1 / (1 + squareform(pdist(place, "sqeuclidean")))
        np.fill_diagonal(kernel, 0)
        pull = (affinity * (12.0 if early else 1.0) - kernel / kernel.sum()) * kernel
        gradient = 4 * (pull.sum(1)[:, None] * place - pull @ place)
        gains = np.maximum(np.where(np.sign(gradient) != np.sign(velocity), gains + 0.2, gains * 0.8), 0.01)
        velocity = (0.5 if early else 0.8) * velocity - rate * gains * gradient
        place = place + velocity
        place -= place.mean(0)
    return place


def _affinities(points: np.ndarray, perplexity: float) -> np.ndarray:
    """Symmetric affinities; each point's bandwidth is found by bisection so that its perplexity is as asked."""
    distances = squareform(pdist(points, "sqeuclidean"))
    distances /= max(float(distances.mean()), 1e-12)
    n = len(points)
    found = np.zeros((n, n))
    for i in range(n):
        others = np.arange(n) != i
        low, high, beta = 0.0, np.inf, 1.0
        for _ in range(60):
            weights = np.exp(-(distances[i, others] - distances[i, others].min()) * beta)
            weights /= weights.sum()
            entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum()
            if entropy > np.log(perplexity):
                low, beta = beta, beta * 2 if high == np.inf else (beta + high) / 2
            else:
                high, beta = beta, (beta + low) / 2
        found[i, others] = weights
    return (found + found.T) / (2 * n)


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
