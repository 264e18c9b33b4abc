"""Is there a circuit that memorized text alone needs, found without a twin?

The check does not ask whether the circuit at hand is specific, but whether any that this search can find is
(:mod:`memcirc.circuits.specific`): taken out by its mean over ordinary text, position by position, it is to add at
least ``memorized_harm`` nats a token to the loss of memorized passages and at most ``other_harm`` to that of other
text, be it ``near`` (like the memorized passages in form and words) or ``ordinary``.

Three samples: edges are scored, by EAP-IG's path of masks, on memorized passages of other documents and on a third of
the other text; circuits are chosen on further such passages and another third; what is reported was measured on
memorized passages of the test documents and on the last third.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memcirc.attribution.attribute import attribute
from memcirc.attribution.scores import EdgeScores
from memcirc.circuit import edge_mask
from memcirc.circuits.losses import losses
from memcirc.circuits.specific import find_specific
from memcirc.pairs.record import Pairs, joined
from memcirc.verification.check import Job, Work
from memcirc.verification.passages import Passages
from memcirc.verification.record import OfPassages
from memcirc.verification.specificity import WAY, Text, added_interval
from memcirc.verification.stability import jaccard
from memcirc.verification.subject import Outline, Subject

METHOD = "mask-ig"
FEWEST = 3


@dataclass(frozen=True)
class SpecificSearch(OfPassages):
    """The circuit that comes closest to harming memorized text alone.

    ``met``: whether it adds ``at_least`` nats a token to memorized passages and ``at_most`` to other text on the
    passages that it was chosen on (``chosen_memorized``, ``chosen_other``); ``memorized`` and ``other``, with 95 %
    bootstrap intervals over documents (None with too few of them), on those that it was not; ``text`` is the kind of
    other text that is harmed most there. ``certified``: every one of its edges is needed to meet both. ``weight``: of
    other text in the ranking; ``overlap``: Jaccard with the circuit that is verified, found in ``mode``. ``tradeoff``:
    of the ``circuits`` measured those that none beats in both harms."""

    KEY = "specific"

    mode: str
    at_least: float
    at_most: float
    met: bool
    certified: bool
    n_edges: int
    weight: float
    overlap: float
    circuits: int
    chosen_memorized: float
    chosen_other: float
    n_memorized: int
    memorized: float
    memorized_low: float | None
    memorized_high: float | None
    n_other: int
    text: str
    other: float
    other_low: float | None
    other_high: float | None
    tradeoff: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _Sample:
    """Memorized passages and the kinds of other text."""

    memorized: Text
    others: tuple[Text, ...]


def specific(subject: Subject) -> list[SpecificSearch]:
    """One line.

    Raises:
        ValueError: no passages were given, or too few memorized ones of other documents, or of other text.
    """
    scored, chosen, held_out = _samples(subject.needed("passages"))
    (reference,) = (text.pairs for text in scored.others if text.name == "ordinary")

    def harms(sample: _Sample, masks: Tensor) -> list[np.ndarray]:
        """float64 [circuits, passages] of each kind of text: what taking circuits out adds."""
        kept = torch.cat([torch.ones_like(masks[:1]), ~masks])
        kinds = (
            losses(subject.model, text.pairs, kept, WAY, reference, subject.engine)
            for text in (sample.memorized, *sample.others)
        )
        return [values[1:] - values[0] for values in kinds]

    def on_chosen(masks: Tensor) -> Tensor:
        own, *others = (torch.from_numpy(added.mean(1)) for added in harms(chosen, masks))
        return torch.stack([own, torch.stack(others).amax(0)])

    settings = subject.settings
    found = find_specific(
        on_chosen,
        _scores(subject, scored.memorized.pairs, reference),
        _scores(subject, joined(*(text.pairs for text in scored.others)), reference),
        at_least=settings.memorized_harm,
        at_most=settings.other_harm,
    )
    mask = edge_mask(subject.graph, found.circuit)[None]
    own, *others = (added[0] for added in harms(held_out, mask))
    worst = max(range(len(others)), key=lambda i: float(others[i].mean()))
    low, high = added_interval(subject, held_out.memorized, own)
    other_low, other_high = added_interval(subject, held_out.others[worst], others[worst])
    return [
        SpecificSearch(
            way=WAY,
            mode=subject.mode,
            at_least=settings.memorized_harm,
            at_most=settings.other_harm,
            met=found.met,
            certified=found.certified,
            n_edges=len(found.circuit),
            weight=found.harm.weight,
            overlap=float(jaccard(mask, subject.mask[None])[0, 0]),
            circuits=found.circuits,
            chosen_memorized=found.harm.memorized,
            chosen_other=found.harm.other,
            n_memorized=len(own),
            memorized=float(own.mean()),
            memorized_low=low,
            memorized_high=high,
            n_other=len(others[worst]),
            text=held_out.others[worst].name,
            other=float(others[worst].mean()),
            other_low=other_low,
            other_high=other_high,
            tradeoff=[asdict(harm) for harm in found.tradeoff],
        )
    ]


def _samples(passages: Passages) -> tuple[_Sample, _Sample, _Sample]:
    """What edges are scored on, what circuits are chosen on, and what is reported: no passage is in two of them."""
    near = {tuple(ids) for ids in passages.near.tolist()}
    apart = [tuple(ids) not in near for ids in passages.ordinary.tolist()]
    kinds = {"near": passages.near, "ordinary": passages.ordinary[apart]}
    kinds = {name: ids for name, ids in kinds.items() if len(ids) >= FEWEST}
    if len(passages.seen) < 2 or "ordinary" not in kinds:
        raise ValueError(
            f"{len(passages.seen)} memorized passages of other documents and {sum(apart)} ordinary ones; 2 "
            f"and {FEWEST} are needed, to score edges, to choose a circuit and to measure it"
        )
    memorized = (
        Text("memorized", passages.pairs(passages.seen[0::2])),
        Text("memorized", passages.pairs(passages.seen[1::2])),
        Text("memorized", passages.pairs(passages.memorized), passages.doc_ids),
    )
    first, second, third = (
        _Sample(own, tuple(Text(name, passages.pairs(ids[part::3])) for name, ids in kinds.items()))
        for part, own in enumerate(memorized)
    )
    return first, second, third


def _scores(subject: Subject, pairs: Pairs, reference: Pairs) -> EdgeScores:
    """What edges carry of completions: nats that are lost when an edge carries its mean over ordinary text."""
    return attribute(
        subject.model,
        pairs,
        METHOD,
        objective="sequence_logprob",
        ablation=WAY.ablation,
        reference=reference,
        engine=subject.engine,
    )


def _jobs(outline: Outline) -> Iterator[Job]:
    """One, beside the circuit of the mode that circuits are taken out in: its answer is the same for each."""
    if outline.mode == WAY.mode:
        yield Job(SpecificSearch.KEY, specific)


WORK = Work((SpecificSearch,), _jobs)
