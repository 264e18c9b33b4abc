"""Is it the circuit of this memory? The circuit taken out of the model, by the values of its twin.

The edges of the circuit carry what they carry in the twin, the same model without the memory, on the same text; all
others stay. What that adds to the loss (the mean negative log-probability of the true completion, in nats a token) is
measured on

- ``memorized``: passages of the test documents, which the circuit was not found on;
- ``found on``: memorized passages of other documents, among them those that it was found on;
- text that the twin knows as well as the model: ``near``, as like the memorized passages in form and words as there
  is; ``ordinary``, a random draw of what is not recited; ``common``, recited by both;
- ``repeated random tokens``, which can only be copied.

A circuit is *specific* (:func:`specific`) where the interval of what its removal adds to memorized passages lies above
ten times what it adds to any other kind of text, or above .1 nats where that is below .01, and above what 95 % of
connected random circuits of its size add: whoever takes everything out is left with the twin. Text that the model knows
worse than by guessing (a loss above the logarithm of the vocabulary) is measured, and does not count: there is nothing
to be lost. Text that the model knows better without the circuit (less than nothing is added) is not harmed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from memcirc.circuits.losses import losses
from memcirc.interventions import Way
from memcirc.verification.check import Work
from memcirc.verification.drawing import connected_circuits
from memcirc.verification.passages import Passages
from memcirc.verification.record import OfPassages
from memcirc.verification.specificity import RANDOM_CIRCUITS, Text, added_interval, repeated
from memcirc.verification.subject import Subject

WAY = Way("tree", "twin", metric="sequence_logprob")
MEMORIZED, FOUND_ON = "memorized", "found on"
TIMES, ADDED, NEGLIGIBLE = 10.0, 0.1, 0.01


@dataclass(frozen=True)
class Removal(OfPassages):
    """One kind of text. ``mode`` is that in which the circuit was found; losses, nats a token: of the model
    (``intact``), with the circuit taken out (``removed``), and with everything taken out (``everything``: the twin, up
    to its last norm and unembedding). ``added`` is what taking the circuit out adds, with its 95 % bootstrap interval
    over documents (None with too few of them); ``random_added`` (and its 95th percentile) what connected random
    circuits of its size add; ``guessing`` is the loss of who knows nothing, the logarithm of the vocabulary."""

    KEY = "removal"

    text: str
    mode: str
    n_edges: int
    n_passages: int
    intact: float
    removed: float
    everything: float
    added: float
    low: float | None
    high: float | None
    random_added: float
    random_q95: float
    n_random: int
    guessing: float


def removal(subject: Subject) -> list[Removal]:
    """A row for each kind of text of which there are passages, of a model beside its twin; none of another.

    Raises:
        ValueError: no passages were given.
    """
    return [] if subject.model.twin is None else removal_from(subject, _texts(subject))


def removal_from(subject: Subject, texts: Iterable[Text]) -> list[Removal]:
    """A row for each of some kinds of text."""
    mask, settings = subject.mask, subject.settings
    drawn = torch.Generator().manual_seed(settings.seed)
    random = connected_circuits(subject.graph, len(subject.circuit), RANDOM_CIRCUITS, drawn)
    kept = torch.stack([torch.ones_like(mask), ~mask, torch.zeros_like(mask), *~random])
    found = []
    for text in texts:
        values = losses(subject.model, text.pairs, kept, WAY, engine=subject.engine)
        intact, removed, everything = values[:3]
        by_chance = values[3:].mean(1) - intact.mean()
        low, high = added_interval(subject, text, removed - intact)
        found.append(
            Removal(
                text=text.name,
                mode=subject.mode,
                way=WAY,
                n_edges=len(subject.circuit),
                n_passages=len(intact),
                intact=float(intact.mean()),
                removed=float(removed.mean()),
                everything=float(everything.mean()),
                added=float((removed - intact).mean()),
                low=low,
                high=high,
                random_added=float(by_chance.mean()),
                random_q95=float(np.quantile(by_chance, 0.95)),
                n_random=len(by_chance),
                guessing=float(np.log(subject.model.weights.d_vocab)),
            )
        )
    return found


def _texts(subject: Subject) -> Iterator[Text]:
    """The kinds of text of which there are passages."""
    passages: Passages = subject.needed("passages")
    kinds = {
        MEMORIZED: (passages.memorized, passages.doc_ids),
        FOUND_ON: (passages.seen, ()),
        "near": (passages.near, ()),
        "ordinary": (passages.ordinary, ()),
        "common": (passages.common, ()),
    }
    for name, (ids, documents) in kinds.items():
        if len(ids):
            yield Text(name, passages.pairs(ids), documents)
    yield Text("repeated random tokens", repeated(subject.model, passages, subject.settings.seed))


def others(rows: Sequence[Removal]) -> list[Removal]:
    """The other kinds of text of which the model knows something."""
    return [row for row in rows if row.text not in (MEMORIZED, FOUND_ON) and row.intact < row.guessing]


def specific(rows: Sequence[Removal]) -> bool:
    """Whether a circuit's removal harms memorized passages alone (module docstring)."""
    own = next(row for row in rows if row.text == MEMORIZED)
    most = max((row.added for row in others(rows)), default=np.inf)
    least = max(own.random_q95, ADDED if most < NEGLIGIBLE else TIMES * most)
    return own.low is not None and own.low > least


WORK = Work.whole(Removal, removal)
