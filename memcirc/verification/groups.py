"""Is it one circuit? The circuits of parts of the pairs beside each other, and beside the circuit of all.

Training pairs are parted by how often their document stands in the corpus, by subset, and into two halves of unrelated
documents. Of each part, by the circuit's own method and rule: the circuit of as many edges, its overlap with the
circuit of all and with those of the other parts; the first size of a grid at which the part's own ranking reaches the
target on the part's test pairs; and what the circuit of all keeps on those. Of a refined circuit, overlaps and size
are of the prefix that it was cut from.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from memcirc.attribution.scores import EdgeScores, Ranking
from memcirc.pairs.record import Pairs
from memcirc.statistics import normalised
from memcirc.verification.check import Work
from memcirc.verification.curves import log_grid
from memcirc.verification.record import OfPairs
from memcirc.verification.stability import jaccard
from memcirc.verification.subject import Subject

Parts = dict[int | str, list[int]]
OF_A_PAIR = ("copies", "subset")


@dataclass(frozen=True)
class Group(OfPairs):
    """One part of the pairs, ``part`` of those ``by`` something.

    ``overlap``: Jaccard overlap of its circuit of ``n_edges`` edges with the circuit of all pairs; ``overlap_others``
    the mean one with the circuits of the other parts; ``by_chance`` that of two random circuits of this size.
    ``smallest``: the first size of a grid at which its own ranking reaches ``target`` (None: none does);
    ``faithfulness`` of the circuit of all on its test pairs, whose ends are ``nothing`` and ``everything``
    (None where it has no test pairs; the first two also where these coincide).
    """

    KEY = "groups"

    by: str
    part: str
    n_train: int
    n_pairs: int
    n_edges: int
    overlap: float
    overlap_others: float
    by_chance: float
    target: float
    smallest: int | None
    faithfulness: float | None
    nothing: float | None
    everything: float | None


def groups(subject: Subject) -> list[Group]:
    """A row for each part of each kind that has two parts of enough pairs.

    Raises:
        ValueError: no training pairs, an empty circuit, or no kind with two parts.
    """
    if not len(subject.circuit):
        raise ValueError("a circuit of 0 edges has no parts")
    train, fewest = subject.needed("train"), subject.settings.fewest_pairs
    found: list[Group] = []
    for by, parts in _kinds(train):
        large = {part: rows for part, rows in parts.items() if len(rows) >= fewest}
        if len(large) > 1:
            found += _rows(subject, by, large)
    if not found:
        raise ValueError(f"{len(train)} training pairs have no two parts of at least {fewest}")
    return found


def _kinds(pairs: Pairs) -> Iterator[tuple[str, Parts]]:
    """Numbers of the pairs, part by part."""
    for by in OF_A_PAIR:
        yield by, _parted({i: getattr(pair, by) for i, pair in enumerate(pairs) if getattr(pair, by) not in (None, "")})
    halves: dict[int, int | str] = {}
    for number, members in enumerate(pairs.components()):
        halves |= dict.fromkeys(members, ("first", "second")[number % 2])
    yield "half of the documents", _parted(halves)


def _parted(labels: Mapping[int, int | str]) -> Parts:
    parts: Parts = defaultdict(list)
    for number, label in labels.items():
        parts[label].append(number)
    return dict(sorted(parts.items(), key=lambda item: item[0]))


def _rows(subject: Subject, by: str, parts: Parts) -> Iterator[Group]:
    own, prefix = subject.own_scores(subject.needed("train")), subject.prefix_mask
    size = int(prefix.sum())
    rankings = [subject.ranked(EdgeScores(subject.graph, own[rows].mean(0))) for rows in parts.values()]
    masks = torch.stack([ranking.masks([size])[0] for ranking in rankings])
    among, whole = jaccard(masks, masks), jaccard(masks, prefix[None])[:, 0]
    expected = size**2 / subject.graph.n_edges
    for index, (part, rows) in enumerate(parts.items()):
        test = [i for i, pair in enumerate(subject.pairs) if by not in OF_A_PAIR or getattr(pair, by) == part]
        smallest, kept, ends = _on_test(subject, rankings[index], test)
        yield Group(
            way=subject.runner(reverse=subject.own_reverse).way(subject.settings.metric),
            by=by,
            part=str(part),
            n_train=len(rows),
            n_pairs=len(test),
            n_edges=size,
            overlap=float(whole[index]),
            overlap_others=float(np.delete(among[index], index).mean()),
            by_chance=expected / (2 * size - expected),
            target=subject.settings.target,
            smallest=smallest,
            faithfulness=kept,
            nothing=ends[0],
            everything=ends[1],
        )


def _on_test(
    subject: Subject, ranking: Ranking, test: list[int]
) -> tuple[int | None, float | None, tuple[float | None, float | None]]:
    """On some of the test pairs: the first size at which a ranking reaches the target, the circuit's faithfulness, and
    the ends."""
    if not test:
        return None, None, (None, None)
    runner, metric = subject.runner(reverse=subject.own_reverse), subject.settings.metric
    sizes = log_grid(runner.graph.n_edges, 2 * subject.settings.curve_points)
    masks = torch.cat([subject.mask[None], ranking.masks(sizes)])
    values = runner.per_pair(masks, metric).double().cpu().numpy()[:, test].mean(1)
    nothing, everything = runner.end_values(metric).double().cpu().numpy()[:, test].mean(1)
    own, *prefixes = normalised(values, nothing, everything, runner.resolution(metric, len(test)))
    reaching = [size for size, kept in zip(sizes, prefixes, strict=True) if kept >= subject.settings.target]
    ends = float(nothing), float(everything)
    return (reaching[0] if reaching else None), (None if np.isnan(own) else float(own)), ends


WORK = Work.whole(Group, groups)
