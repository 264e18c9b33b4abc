"""Which edges does the circuit owe to a few documents?

Of the circuit's ranking on the training pairs (of a refined circuit: of the prefix that it was cut from): the edges
that are among its first n, and those that are not, whatever 1, 2, 4, ... groups of documents are deleted
(:mod:`memcirc.attribution.certificates`); the others are open. The circuit of the certified edges alone is measured on
the test pairs. Beside it, how often each edge of the circuit is chosen when half of the documents are left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from memcirc.attribution.certificates import certified, inclusion
from memcirc.attribution.scores import EdgeScores
from memcirc.verification.check import Job, Work
from memcirc.verification.record import OfPairs
from memcirc.verification.subject import Subject

MOST_LISTED = 100


@dataclass(frozen=True)
class Certified(OfPairs):
    """What holds for every deletion of at most ``deleted`` of ``n_documents`` groups of documents: of the ``n_edges``
    first edges of the ranking ``inside`` stay there; of the ``graph_edges - n_edges`` others ``outside`` stay out.
    ``of_circuit``: edges of the circuit among those inside. ``faithfulness``: of the circuit of the edges inside, on
    test pairs."""

    KEY = "certificates"

    deleted: int
    n_documents: int
    n_edges: int
    graph_edges: int
    inside: int
    outside: int
    circuit_edges: int
    of_circuit: int
    faithfulness: float


@dataclass(frozen=True)
class EdgeFates(OfPairs):
    """The circuit's edges, at most ``MOST_LISTED``, the surest first: for each, after how many deletions it is still
    certified (-1: not even without one, at a tie or outside the prefix), and the share of random halves of the
    documents from which it is chosen, with its 95 % interval."""

    KEY = "fates"

    n_draws: int
    circuit_edges: int
    edges: Mapping[str, Sequence[int | float]]


def certificates(subject: Subject) -> list[Certified | EdgeFates]:
    """A line for each number of deletions, then the edges'.

    Raises:
        ValueError: no training pairs, circuits chosen greedily, fewer than three groups of documents, ends that
            coincide.
    """
    train, ranking = subject.needed("train"), subject.ranking
    if ranking.selection != "top":
        raise ValueError("a circuit grown from the logits has no certificate: an edge's place depends on all others")
    own = subject.own_scores(train)
    scores, groups = EdgeScores(subject.graph, own.mean(0), {}, own), train.components()
    n = int(subject.prefix_mask.sum())
    if len(groups) < 3:
        raise ValueError(f"{len(train)} training pairs form {len(groups)} groups of documents; three are needed")
    found = [certified(scores, groups, n, deleted, ranking.by) for deleted in deletions(len(groups))]
    way = subject.runner(reverse=subject.own_reverse).way(subject.settings.metric)
    inside = torch.from_numpy(np.stack([each.inside for each in found]))
    kept = subject.runner(reverse=subject.own_reverse).faithfulness(inside, subject.settings.metric).tolist()
    lines = [
        Certified(
            way=way,
            deleted=each.deleted,
            n_documents=len(groups),
            n_edges=n,
            graph_edges=subject.graph.n_edges,
            inside=int(each.inside.sum()),
            outside=int(each.outside.sum()),
            circuit_edges=len(subject.circuit),
            of_circuit=int((mask & subject.mask).sum()),
            faithfulness=value,
        )
        for each, mask, value in zip(found, inside, kept, strict=True)
    ]
    often = inclusion(scores, groups, n, subject.settings.seed, by=ranking.by)
    fates: dict[str, list[int | float]] = {}
    for index in subject.mask.nonzero()[:, 0].tolist():
        survives = max((each.deleted for each in found if each.inside[index]), default=-1)
        told = (float(share[index]) for share in (often.share, often.low, often.high))
        fates[subject.graph.edges[index]] = [survives, *told]
    listed = dict(sorted(fates.items(), key=lambda item: (-item[1][0], -item[1][1]))[:MOST_LISTED])
    return [*lines, EdgeFates(way=way, n_draws=often.n_draws, circuit_edges=len(fates), edges=listed)]


def deletions(n_groups: int) -> list[int]:
    """0, 1, 2, 4, ... up to half of the groups."""
    return [0, *(2**power for power in range(n_groups.bit_length()) if 2**power <= n_groups // 2)]


WORK = Work((Certified, EdgeFates), lambda _: iter([Job(Certified.KEY, certificates)]))
