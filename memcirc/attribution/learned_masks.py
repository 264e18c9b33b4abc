"""Masks of all edges learned by gradient descent: ``edge-pruning`` (Bhaskar et al. 2024: hard concrete masks with L0)
and ``uniform-gradient-sampling`` (Li and Janson 2024); :mod:`memcirc.attribution.relaxations` has what is drawn.

Minimised is the expected loss of the masked model (:mod:`memcirc.engine.fidelity`: how far its objective is from the
model's own) over random masks, while the expected number of edges at work (L0) is a given size. Every update draws a
mask for each pair of a batch, moves the masks' logits by one step of Adam, and shifts all of them alike until their
expected number is the size of that update, which takes the place of a penalty and its multiplier. Sizes fall
geometrically from half of the edges to a thousandth, so that one run passes through circuits of every size:

    score of an edge = the mean over updates of the probability that it is at work,

and the first n edges are those that stayed longest: the path's circuit of size n. The logits start in the order of
``mask-ig``'s absolute scores.
"""

import math
from collections.abc import Iterator
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.attribution.mask_gradients import MASK_IG
from memcirc.attribution.method import Method
from memcirc.attribution.relaxations import HARD_CONCRETE, UNIFORM, Logits, Relaxation
from memcirc.engine.adam import Adam
from memcirc.engine.fidelity import Fidelity
from memcirc.engine.request import Request

BATCH = 32
MOST, FEWEST = 0.5, 0.001
SPREAD = 4.0
JUMP = 2 * math.log(99)
"""A step that carries an edge from 99 % to 1 %."""


def learned(request: Request, relaxation: Relaxation) -> Float[Tensor, " n_edges"]:
    """Edge scores in [0, 1].

    Raises:
        ValueError: scores of each pair are asked for; no update, or a rate that is not above 0; an objective that is
            the same with no edge at work as with all; a rate at which the logits diverge.
    """
    _check(request)
    generator = torch.Generator().manual_seed(request.seed)
    with torch.inference_mode(False), torch.no_grad():
        logits = started(MASK_IG.run(request))
        fidelity = Fidelity(request, request.batch_size or BATCH)
        adam, at_work = Adam(request.rate), torch.zeros_like(logits)
        for update, i in enumerate(_batches(fidelity.n_batches, request.updates, generator)):
            logits = shifted(logits, relaxation, size_at(update, request.updates, len(logits)))
            at_work += relaxation.at_work(logits)
            uniform = torch.rand(fidelity.size(i), len(logits), 2, generator=generator, dtype=logits.dtype)
            masks, factors = relaxation.draw(logits, uniform.to(logits.device))
            _, gradient = fidelity.slope(i, masks)
            step = adam.step((gradient * factors).sum(0))
            if not step.abs().max() < JUMP:
                raise ValueError(
                    f"rate {request.rate:g} is too large: update {update + 1} of {request.updates} moves a mask's "
                    f"logit by {float(step.abs().max()):.3g}, from open to shut at once; take a smaller one"
                )
            logits = logits - step
        return at_work / request.updates


def _check(request: Request) -> None:
    if request.per_example:
        raise ValueError("learned masks are those of all pairs together; per_example is not defined for them")
    if request.updates < 1:
        raise ValueError(f"updates {request.updates} is out of range; accepted: 1 and above")
    if not request.rate > 0:
        raise ValueError(f"rate {request.rate:g} is out of range; accepted: above 0")


def started(scores: Float[Tensor, " n_edges"]) -> Logits:
    """``SPREAD`` times -log of each edge's place, so that the first edges of every size stand as far apart."""
    place = torch.empty_like(scores)
    place[torch.argsort(scores.abs(), descending=True, stable=True)] = torch.arange(1, len(scores) + 1).to(scores)
    return -SPREAD * torch.log(place / len(scores))


def size_at(update: int, updates: int, n_edges: int) -> float:
    """The expected number of edges at work, at least one."""
    return max(n_edges * MOST * (FEWEST / MOST) ** (update / max(updates - 1, 1)), min(1.0, n_edges * MOST))


def shifted(logits: Logits, relaxation: Relaxation, size: float) -> Logits:
    """The logits moved alike, so that ``size`` edges are expected to be at work."""
    low, high = -50 - float(logits.max()), 50 - float(logits.min())
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if float(relaxation.at_work(logits + middle).sum()) > size else (middle, high)
    return logits + low


def _batches(n_batches: int, updates: int, generator: torch.Generator) -> Iterator[int]:
    """Batches in random order, each once before any comes again."""
    order: list[int] = []
    for _ in range(updates):
        order = order or torch.randperm(n_batches, generator=generator).tolist()
        yield order.pop()


EDGE_PRUNING = Method(partial(learned, relaxation=HARD_CONCRETE), engines=("native",), joint=True)
UNIFORM_GRADIENT_SAMPLING = Method(partial(learned, relaxation=UNIFORM), engines=("native",), joint=True)
