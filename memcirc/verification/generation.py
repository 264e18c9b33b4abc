"""Does the circuit recite? Greedy completions of memorized passages with only the circuit intact, and with only it
ablated.

The circuit runs at every position, also those it generates (:mod:`memcirc.engine.decoding`); ablation values come from
the prompt of a passage that is not memorized, followed by the same generated tokens, or, of a circuit that was found
against a twin, from that on the same tokens. ``extracted`` is the share of
passages whose completion is exact, ``score`` the mean share of tokens that equal the truth.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from memcirc.engine.decoding import decode
from memcirc.interventions import ABLATIONS, Way
from memcirc.verification.check import Job, Work
from memcirc.verification.drawing import connected_circuits
from memcirc.verification.passages import Passages
from memcirc.verification.record import OfPassages
from memcirc.verification.subject import Outline, Subject

RANDOM_CIRCUITS = 5
MODE = "tree"
RUNS = ("model", "only the circuit", "without the circuit", "only random", "without random", "nothing")


@dataclass(frozen=True)
class Generation(OfPassages):
    """Recitation under one way to keep edges, over passages with ``copies`` copies (None: all of them).

    ``mode`` is that in which the circuit was found; completions are generated in ``run_mode``.
    ``run``: the whole model; only the circuit's edges intact; only they ablated; the same of connected random
    circuits of its size (means over ``n_circuits``); all edges ablated.
    """

    KEY = "generation"

    run: str
    mode: str
    n_edges: int
    n_circuits: int
    copies: int | None
    n_passages: int
    extracted: float
    score: float
    prefix_match: float


def generation(subject: Subject, run: str) -> list[Generation]:
    """One of ``RUNS``, over all passages and by copies.

    Raises:
        ValueError: no passages were given, they do not fit the model's context, or another engine than the native one,
            which alone decodes under a circuit, is asked for.
    """
    if subject.engine != "native":
        raise ValueError(f"engine {subject.engine!r} does not decode under a circuit; accepted: native")
    passages: Passages = subject.needed("passages")
    mask = subject.mask
    whole, drawn = torch.ones_like(mask), torch.Generator().manual_seed(subject.settings.seed)
    random = connected_circuits(subject.graph, len(subject.circuit), RANDOM_CIRCUITS, drawn)
    circuits = {"model": [whole], "only the circuit": [mask], "without the circuit": [~mask],
                "only random": list(random), "without random": list(~random),
                "nothing": [torch.zeros_like(mask)]}[run]  # fmt: skip
    equal = np.stack([_equal(subject, passages, kept) for kept in circuits])
    found = []
    for copies in (None, *sorted({int(c) for c in passages.copies if c >= 0})):
        rows = np.ones(len(equal[0]), dtype=bool) if copies is None else passages.copies == copies
        found.append(_row(subject, run, equal[:, rows], copies, int(circuits[0].sum())))
    return found


def _way(subject: Subject) -> Way:
    """How completions are generated."""
    return Way(MODE, subject.ablation if ABLATIONS[subject.ablation].other_model else "resample")


def _equal(subject: Subject, passages: Passages, kept: Tensor) -> np.ndarray:
    """bool [passages, generated]: which generated tokens equal the truth."""
    n = passages.prompt_tokens
    truth = passages.memorized[:, n:]
    corrupt = passages.others[np.arange(len(truth)) % len(passages.others), :n]
    prompts = torch.from_numpy(passages.memorized[:, :n])
    said = decode(subject.model, prompts, torch.from_numpy(corrupt), kept, truth.shape[1], _way(subject).ablation)
    return np.asarray(said.numpy() == truth)


def _row(subject: Subject, run: str, equal: np.ndarray, copies: int | None, n_edges: int) -> Generation:
    """One line from bool [circuits, passages, generated]."""
    prefix = np.where(equal.all(2), equal.shape[2], equal.argmin(2))
    return Generation(
        run=run,
        mode=subject.mode,
        way=_way(subject),
        n_edges=n_edges,
        n_circuits=len(equal),
        copies=copies,
        n_passages=equal.shape[1],
        extracted=float(equal.all(2).mean()),
        score=float(equal.mean()),
        prefix_match=float(prefix.mean()),
    )


def recitation(rows: Sequence[Generation], run: str) -> Generation:
    """The line of a run over all passages."""
    return next(row for row in rows if row.run == run and row.copies is None)


def _jobs(_: Outline) -> Iterator[Job]:
    """Each run."""
    for run in RUNS:
        yield Job(Generation.KEY, partial(generation, run=run))


WORK = Work((Generation,), _jobs)
