"""Is it a circuit of memorization, or of language? A double dissociation.

Four kinds of text are scored by their loss, the mean negative log-probability of the true completion in nats a token:
memorized passages, passages that are not memorized, ordinary text (a random draw of what is not memorized), and random
tokens said twice, which can only be copied. The circuit is knocked out: its edges carry their mean over ordinary text,
position by position. A memorization circuit raises the loss of memorized passages and leaves the rest alone.

The other half needs circuits that do the reverse, of equal size: the one for ordinary text, found by EAP on its
completions, whose knock-out should harm that and spare recitation; and the one for copying, found by EAP on the
repeated random tokens. Both are found on one half of their kind of text and measured on the other; the means are those
of the half of ordinary text that is not measured. The circuit for copying is sought only if the model copies: if what
is said again has a loss at least ``copying_gain`` nats below what is said first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memcirc.attribution.attribute import attribute
from memcirc.circuit import edge_mask
from memcirc.circuits.losses import losses
from memcirc.interventions import Way
from memcirc.models import Model
from memcirc.pairs.record import Pair, Pairs
from memcirc.statistics import grouped, percentile_interval, resample_counts, resampled_means
from memcirc.verification.check import Work
from memcirc.verification.drawing import connected_circuits
from memcirc.verification.passages import Passages
from memcirc.verification.record import OfPassages
from memcirc.verification.subject import Subject

WAY = Way("tree", "mean-clean")
RANDOM_CIRCUITS = 8
N_REPEATED = 24


@dataclass(frozen=True)
class Dissociation(OfPassages):
    """One kind of text. ``mode`` is that in which the circuit was found; losses, nats a token, are measured in
    ``run_mode``. ``rise`` is what knocking the circuit out adds, with its 95 % bootstrap interval over documents (None
    with too few of them); ``random_rise`` (and its 95th percentile) what connected random circuits of its size add;
    ``ordinary_rise`` what the circuit for ordinary text adds, ``copying_rise`` that for copying (None where the model
    does not copy). ``shared_with_ordinary``: the circuit's Jaccard overlap with the former. ``only_circuit`` is the
    loss with nothing but the circuit intact, ``nothing`` with no edge intact."""

    KEY = "specificity"

    text: str
    mode: str
    n_edges: int
    n_passages: int
    intact: float
    knocked_out: float
    rise: float
    low: float | None
    high: float | None
    random_rise: float
    random_q95: float
    n_random: int
    ordinary_rise: float
    shared_with_ordinary: float
    copying_rise: float | None
    only_circuit: float
    nothing: float
    note: str


@dataclass(frozen=True)
class Text:
    """A kind of text: pairs whose answers are true completions, the documents that they are of (none said: each of one
    of its own), and what a reader must be told of it."""

    name: str
    pairs: Pairs
    documents: Sequence[str] = ()
    note: str = ""


def specificity(subject: Subject) -> list[Dissociation]:
    """A row for each kind of text.

    Raises:
        ValueError: no passages were given, or fewer than two ordinary ones.
    """
    passages: Passages = subject.needed("passages")
    if len(passages.ordinary) < 2:
        raise ValueError(
            f"{len(passages.ordinary)} ordinary passages; 2 are needed, to find their circuit and to measure it"
        )
    mask, seed = subject.mask, subject.settings.seed
    drawn = torch.Generator().manual_seed(seed)
    random = connected_circuits(subject.graph, len(subject.circuit), RANDOM_CIRCUITS, drawn)
    reference = passages.pairs(passages.ordinary[1::2])
    copied = repeated(subject.model, passages, seed, 2 * N_REPEATED)
    copying, note = _copying_circuit(subject, copied[N_REPEATED:])
    texts = (
        Text("memorized", passages.pairs(passages.memorized), passages.doc_ids),
        Text("not memorized", passages.pairs(passages.others)),
        Text("ordinary", passages.pairs(passages.ordinary[::2])),
        Text("repeated random tokens", copied[:N_REPEATED], note=note),
    )
    ordinary = _circuit_of(subject, reference, "sequence_logprob")
    shared = float((mask & ordinary).sum() / (mask | ordinary).sum().clamp_min(1))
    rows = [torch.ones_like(mask), ~mask, mask, torch.zeros_like(mask), ~ordinary, *~random]
    rows += [] if copying is None else [~copying]
    masks = torch.stack(rows)
    found = []
    for text in texts:
        found.append(
            _row(
                subject,
                text,
                losses(subject.model, text.pairs, masks, WAY, reference, subject.engine),
                shared,
                copying is not None,
            )
        )
    return found


def repeated(model: Model, passages: Passages, seed: int, n_pairs: int = N_REPEATED) -> Pairs:
    """Random tokens said twice, as long as a passage: the prompt ends with the second half's first token."""
    length = passages.memorized.shape[1] // 2
    ids = torch.randint(0, model.d_vocab, (n_pairs, 2, length), generator=torch.Generator().manual_seed(seed)).tolist()
    return Pairs(
        tuple(
            Pair(
                clean_ids=(*first, first[0]),
                corrupt_ids=(*other, first[0]),
                answer_ids=(first[1],),
                wrong_answer_ids=(other[1],),
                answer_sequence_ids=tuple(first[1:]),
            )
            for first, other in ids
        )
    )


def _copying_circuit(subject: Subject, pairs: Pairs) -> tuple[Tensor | None, str]:
    """The mask of the copying circuit, or None and why there is none."""
    model = subject.model
    with torch.no_grad():
        ids = torch.tensor([pair.clean_ids + pair.answer_sequence_ids for pair in pairs], device=model.device)
        logprobs = model.logits(ids).log_softmax(-1)[:, :-1]
        said = logprobs.gather(-1, ids[:, 1:, None])[..., 0]
        half = len(pairs[0].clean_ids) - 1
        first, second = -float(said[:, : half - 1].mean()), -float(said[:, half:].mean())
    note = f"loss of random tokens {first:.2f} when new, {second:.2f} when repeated"
    wanted = subject.settings.copying_gain
    if first - second < wanted:
        return None, f"the model does not copy: {note}; a copying circuit is sought from a gain of {wanted:g} nat on"
    steps = torch.linspace(0, half - 2, 8).long().tolist()
    items = [
        Pair(
            clean_ids=(*pair.clean_ids, *pair.answer_sequence_ids[:t]),
            corrupt_ids=(*pair.corrupt_ids, *pair.answer_sequence_ids[:t]),
            answer_ids=(pair.answer_sequence_ids[t],),
            wrong_answer_ids=((pair.answer_sequence_ids[t] + 1) % model.d_vocab,),
        )
        for pair, t in zip(pairs, steps * (len(pairs) // len(steps) + 1), strict=False)
    ]
    return _circuit_of(subject, Pairs(tuple(items)), "logit_diff"), note


def _circuit_of(subject: Subject, pairs: Pairs, objective: str) -> Tensor:
    """bool [n_edges]: as many edges as the circuit has, by EAP on other pairs."""
    scores = attribute(subject.model, pairs, method="eap", objective=objective, engine=subject.engine)
    return edge_mask(subject.graph, scores.top(len(subject.circuit)))


def added_interval(subject: Subject, text: Text, rise: np.ndarray) -> tuple[float | None, float | None]:
    """Bounds of the mean over documents; None where there are too few of them."""
    groups = grouped(text.documents or range(len(rise)))
    try:
        counts = resample_counts(groups, subject.settings.n_resamples, subject.settings.seed)
    except ValueError:
        return None, None
    found = percentile_interval(resampled_means(counts, rise), len(groups))
    return found.low, found.high


def _row(subject: Subject, text: Text, found: np.ndarray, shared: float, copies: bool) -> Dissociation:
    """One line from the losses of: intact, knocked out, only the circuit, nothing, without the circuit for ordinary
    text, without random ones and, if the model copies, without the copying circuit."""
    intact, knocked, only, nothing, ordinary = found[:5]
    random = found[5 : 5 + RANDOM_CIRCUITS].mean(1) - intact.mean()
    rise = knocked - intact
    low, high = added_interval(subject, text, rise)
    return Dissociation(
        text=text.name,
        mode=subject.mode,
        way=WAY,
        n_edges=len(subject.circuit),
        n_passages=len(rise),
        intact=float(intact.mean()),
        knocked_out=float(knocked.mean()),
        rise=float(rise.mean()),
        low=low,
        high=high,
        random_rise=float(random.mean()),
        random_q95=float(np.quantile(random, 0.95)),
        n_random=RANDOM_CIRCUITS,
        ordinary_rise=float((ordinary - intact).mean()),
        shared_with_ordinary=shared,
        copying_rise=float((found[-1] - intact).mean()) if copies else None,
        only_circuit=float(only.mean()),
        nothing=float(nothing.mean()),
        note=text.note,
    )


WORK = Work.whole(Dissociation, specificity)
