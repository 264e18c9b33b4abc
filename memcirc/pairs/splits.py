"""Train, validation and test without leaks, on numbers and keys alone.

Pairs are vertices; two are joined when they share a key (a document, a prompt, a context: :meth:`Pair.keys`). Connected
components stay together. They are placed largest first, equal ones in an order drawn from the seed, each into the split
furthest below its share.
"""

import random
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

NAMES = ("train", "validation", "test")


def components(keys: Iterable[Iterable[Hashable]]) -> list[list[int]]:
    """Numbers of the members that share a key, directly or through others, in order of first appearance."""
    parent: list[int] = []

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first_with: dict[Hashable, int] = {}
    for i, own in enumerate(keys):
        parent.append(i)
        for key in own:
            parent[root(i)] = root(first_with.setdefault(key, i))
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(len(parent)):
        groups[root(i)].append(i)
    return list(groups.values())


def placed(
    groups: Sequence[Sequence[int]], fractions: tuple[float, float, float], seed: int
) -> tuple[list[int], list[int], list[int]]:
    """The members of each split, ascending; none is empty.

    Raises:
        ValueError: fractions that are not three positive numbers of sum 1.
    """
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"split fractions {fractions}: three positive numbers of sum 1 are needed")
    assert len(groups) >= 3, "three splits need three groups"
    order = list(groups)
    random.Random(seed).shuffle(order)
    order.sort(key=len, reverse=True)
    chosen: tuple[list[int], list[int], list[int]] = ([], [], [])
    for rank, group in enumerate(order):
        empty = [i for i in range(3) if not chosen[i]]
        options = empty if len(order) - rank <= len(empty) else range(3)
        chosen[min(options, key=lambda i: len(chosen[i]) / fractions[i])].extend(group)
    train, validation, test = map(sorted, chosen)
    return train, validation, test
