"""Does what initiates recitation also maintain it? Circuits of a decision, token by token.

For a branch pair at context length L with truth z and what the model says instead, g: the pair at +t is

    clean = context + z_1 .. z_{1+t},   corrupt = context + g_1 .. g_{1+t},   answer = z_{2+t},   wrong answer =
    g_{2+t},

so that +0 is the pair itself. Of any other pair (a memorized passage that is cut where recitation breaks off, beside
one that is not memorized) both sides go on as the model does: z is what it says behind the clean prompt, g what it says
behind the corrupt one, and the pair at +t has t tokens more of each. Pairs whose answers coincide, whose text ends, or
whose answer is no longer the model's argmax behind the clean prompt are dropped and counted. Edges are scored at every
t on training pairs, by the circuit's own method; the circuit at t is the ranking's first n edges, n the size of the
onset's circuit.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.stats import spearmanr

from memcirc.attribution.attribute import attribute
from memcirc.circuit import edge_mask
from memcirc.circuits.runner import circuit_runner
from memcirc.memorization.generation import greedy
from memcirc.models import Model
from memcirc.pairs.gate import gate
from memcirc.pairs.record import Pair, Pairs
from memcirc.verification.check import Work
from memcirc.verification.passages import Passages
from memcirc.verification.record import OfPairs
from memcirc.verification.stability import jaccard
from memcirc.verification.subject import Subject

DELAYS = (0, 1, 2, 5, 10)
CLEAN, CORRUPT = "clean", "corrupt"


@dataclass(frozen=True)
class Moment(OfPairs):
    """Edge scores ``delay`` tokens after the onset.

    ``overlap``: Jaccard of its circuit with the circuit at each delay, in the order of ``delays``; ``spearman`` of its
    scores' sizes with the onset's. On the test pairs of that delay: faithfulness of the onset's circuit and of its own.
    """

    KEY = "time"

    delay: int
    delays: Sequence[int]
    n_edges: int
    n_train: int
    n_pairs: int
    dropped: Mapping[str, int]
    overlap: Sequence[float]
    spearman: float
    onset_faithfulness: float
    own_faithfulness: float


def time_resolved(subject: Subject) -> list[Moment]:
    """A moment for each delay that keeps enough pairs.

    Raises:
        ValueError: no training pairs or passages, or too few pairs at the onset.
    """
    train, passages = subject.needed("train"), subject.needed("passages")
    metric, n_edges = subject.settings.metric, len(subject.circuit)
    fewest = subject.settings.fewest_pairs
    found: dict[int, tuple[Pairs, Pairs]] = {}
    for delay in DELAYS:
        seen, measured = (delayed(subject.model, pairs, passages, delay) for pairs in (train, subject.pairs))
        if len(seen) >= fewest and len(measured) >= fewest:
            found[delay] = seen, measured
        elif delay == 0:
            raise ValueError(
                f"{len(seen)} training and {len(measured)} test pairs have a known continuation; "
                f"time-resolved circuits need at least {fewest} of each"
            )
    scores = {delay: attribute(subject.model, seen, **subject.attribution) for delay, (seen, _) in found.items()}
    masks = torch.stack([subject.ranked(s).masks([n_edges])[0] for s in scores.values()])
    overlap = jaccard(masks, masks)
    onset = scores[0].values.abs().numpy()
    own = edge_mask(subject.graph, subject.circuit)
    rows = []
    for index, (delay, (seen, measured)) in enumerate(found.items()):
        runner = circuit_runner(
            subject.model, measured, mode=subject.mode, ablation=subject.ablation, engine=subject.engine
        )
        values = runner.faithfulness(torch.stack([own, masks[index]]), metric).tolist()
        rows.append(
            Moment(
                delay=delay,
                delays=tuple(found),
                way=runner.way(metric),
                n_edges=n_edges,
                n_train=len(seen),
                n_pairs=len(measured),
                dropped=dict(measured.dropped),
                overlap=overlap[index].tolist(),
                spearman=float(spearmanr(onset, scores[delay].values.abs().numpy()).statistic),
                onset_faithfulness=values[0],
                own_faithfulness=values[1],
            )
        )
    return rows


def delayed(model: Model, pairs: Pairs, passages: Passages, delay: int) -> Pairs:
    """The pairs at +delay; ``.dropped`` counts what was left out, by reason."""
    dropped: Counter[str] = Counter()
    items = []
    after_clean, after_corrupt = (continuations(model, pairs, delay + 1, side) for side in (CLEAN, CORRUPT))
    for pair, own, said in zip(pairs, after_clean, after_corrupt, strict=True):
        truth = passages.truth_after(pair) if is_branch(pair) else own
        if truth is None:
            dropped["its passage is not at hand"] += 1
        elif not delay:
            items.append(pair)
        elif len(truth) <= delay:
            dropped["passage ends before"] += 1
        elif truth[delay] == said[delay]:
            dropped["answers coincide"] += 1
        else:
            items.append(
                replace(
                    pair,
                    clean_ids=pair.clean_ids + truth[:delay],
                    corrupt_ids=pair.corrupt_ids + said[:delay],
                    answer_ids=(truth[delay],),
                    wrong_answer_ids=(said[delay],),
                    answer_sequence_ids=(),
                    clean=model.decode(pair.clean_ids + truth[:delay]),
                    corrupt=model.decode(pair.corrupt_ids + said[:delay]),
                    answers=(model.decode([truth[delay]]),),
                    wrong_answers=(model.decode([said[delay]]),),
                )
            )
    kept = Pairs(tuple(items), pairs.header, dict(dropped))
    return gate(kept, model.logits) if items else kept


def continuations(model: Model, pairs: Pairs, n_tokens: int, side: str) -> list[tuple[int, ...]]:
    """What the model says behind every clean or every corrupt prompt."""
    lengths = np.array([len(pair) for pair in pairs])
    out: list[tuple[int, ...]] = [()] * len(pairs)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        ids = torch.tensor([getattr(pairs[int(row)], f"{side}_ids") for row in rows])
        for row, said in zip(rows, greedy(model, ids, n_tokens).tolist(), strict=True):
            out[row] = tuple(said)
    return out


def is_branch(pair: Pair) -> bool:
    """Whether a pair is a branch decision: prompts that differ in their last token alone."""
    return pair.divergence is not None and pair.shared_prefix == len(pair) - 1


WORK = Work.whole(Moment, time_resolved)
