"""Train, validation and test without leaks.

Pairs are vertices; two are joined when they share a document, a family of documents where the corpus knows of such, a
prompt, or the context up to the divergence point (siblings: one's clean prompt is then another's corrupt one).
Connected components stay together. They are placed largest first, equal ones in an order drawn from the seed, each
into the split furthest below its share.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from memcirc.pairs.record import Pair, Pairs, TooFewPairs

NAMES = ("train", "validation", "test")


def split(pairs: Pairs, fractions: tuple[float, float, float] = (0.5, 0.25, 0.25), seed: int = 0) -> tuple[Pairs, ...]:
    """Three sets of pairs, none empty; the header of each names its split.

    Raises:
        ValueError: fractions that are not three positive numbers of sum 1.
        TooFewPairs: fewer than three components.
    """
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"split fractions {fractions}: three positive numbers of sum 1 are needed")
    groups = components(pairs)
    if len(groups) < 3:
        raise TooFewPairs(
            f"{len(pairs)} pairs form {len(groups)} unrelated group(s); train, validation and test need at least 3"
        )
    order = list(groups)
    random.Random(seed).shuffle(order)
    order.sort(key=len, reverse=True)
    chosen: list[list[int]] = [[], [], []]
    for rank, group in enumerate(order):
        empty = [i for i in range(3) if not chosen[i]]
        options = empty if len(order) - rank <= len(empty) else range(3)
        chosen[min(options, key=lambda i: len(chosen[i]) / fractions[i])].extend(group)
    return tuple(
        replace(pairs, items=tuple(pairs.items[i] for i in sorted(rows)), header={**pairs.header, "split": name})
        for name, rows in zip(NAMES, chosen, strict=True)
    )


def components(pairs: Pairs) -> list[list[int]]:
    """Indices of pairs that share anything, directly or through others, in order of first appearance."""
    parent = list(range(len(pairs)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first_with: dict[object, int] = {}
    for i, pair in enumerate(pairs):
        for key in _keys(pair):
            parent[root(i)] = root(first_with.setdefault(key, i))
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(len(pairs)):
        groups[root(i)].append(i)
    return list(groups.values())


def _keys(pair: Pair) -> Iterator[object]:
    """Everything that two pairs must not share across splits."""
    yield from (("doc", doc) for doc in (pair.doc_id, pair.corrupt_doc_id) if doc)
    yield from (("prompt", ids) for ids in (pair.clean_ids, pair.corrupt_ids))
    if pair.family:
        yield ("family", pair.family)
    if pair.divergence is not None:
        yield ("context", pair.clean_ids[: pair.divergence])
