"""A sample of a product of choices in which every two choices of different kinds meet at least once."""

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any


def pairwise(*kinds: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Greedy: take the combination that covers most pairs not met yet, until all are met."""
    everything = list(product(*kinds))

    def met(combination: tuple[Any, ...]) -> set[tuple[int, Any, int, Any]]:
        return {(i, combination[i], j, combination[j]) for i, j in combinations(range(len(kinds)), 2)}

    missing = set().union(*map(met, everything))
    sample = []
    while missing:
        best = max(everything, key=lambda combination: len(met(combination) & missing))
        sample.append(best)
        missing -= met(best)
    return sample
