"""Pairs of a model and its twin: the same prompt twice, and what the model goes on to say that the twin does not.

For a learned passage (:mod:`memcirc.memorization.lift`) with n prompt tokens, clean = corrupt = its first tokens;
answer = how it goes on; wrong answer = what the twin says there, or says next where that is the answer:

- ``completion``: one pair, its n prompt tokens, with the whole completion as a teacher-forced answer;
- ``tokens``: a pair for each token of the completion that the model knows better than its twin.

The runtime gate measures that once more, with the model as circuits will run it: a pair whose answer is not at least
``lift`` nats a token likelier under the model than under its twin is dropped and counted.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from memcirc.models import Model
from memcirc.pairs.batches import PairBatch, batches
from memcirc.pairs.config import COMPLETION
from memcirc.pairs.record import Pair, Pairs
from memcirc.pairs.scored import Scored

BATCH = 16
REASON = "gate: the model does not know the answer better than its twin"


def learned_pairs(scored: Scored, dropped: Counter[str]) -> Iterator[Pair]:
    """A pair for each learned passage, or for each of its tokens; wrong answers are :func:`gated`'s.

    Raises:
        ValueError: passages scored without a twin, or with no log-probabilities of their tokens.
    """
    scored.keep_learned(dropped)
    n = scored.prompt_tokens
    for row in scored.memorized.tolist():
        tokens, lifts = scored.tokens[row].tolist(), scored.token_lifts[row]
        if lifts is None:
            raise ValueError("the passages were scored without log-probabilities, which mode 'learned' needs")
        if scored.config.answer == COMPLETION:
            yield _pair(scored, row, n, tuple(tokens[n:]))
            continue
        known = [n + step for step, lift in enumerate(lifts) if lift >= scored.config.lift]
        if not known:
            dropped["no token that the model knows better than its twin"] += 1
        for at in known:
            yield _pair(scored, row, at, (tokens[at],))


def _pair(scored: Scored, row: int, length: int, answer: tuple[int, ...]) -> Pair:
    prompt = scored.prompt(row, length)
    return Pair(prompt, prompt, answer[:1], answer[:1], answer, **scored.origin(row))


def gated(pairs: Pairs, model: Model, lift: float) -> Pairs:
    """The pairs whose answers the model knows better than its twin, each with its lift and the twin's own choice as
    wrong answer; the others are added to ``dropped``."""
    assert model.twin is not None
    reasons: Counter[str] = Counter(pairs.dropped)
    kept = []
    for batch in batches(pairs, BATCH, sequence=True):
        ours, _ = _answered(model, batch)
        theirs, said = _answered(model.twin, batch)
        for index, gain, wrong in zip(batch.index.tolist(), (ours - theirs).tolist(), said.tolist(), strict=True):
            if gain < lift:
                reasons[REASON] += 1
            else:
                kept.append(replace(pairs[index], wrong_answer_ids=(wrong,), lift=gain))
    return replace(pairs, items=tuple(kept), dropped=dict(reasons))


def _answered(model: Model, batch: PairBatch) -> tuple[np.ndarray, Tensor]:
    """Nats a token of each answer [batch], and what the model says first, the answer's own token apart [batch]."""
    assert batch.targets is not None
    assert batch.target_mask is not None
    logits = model.logits(batch.clean).cpu()
    steps = logits.gather(1, batch.read[..., None].expand(-1, -1, logits.shape[-1])).log_softmax(-1)
    said = steps.gather(2, batch.targets[..., None])[..., 0] * batch.target_mask
    other = steps[:, 0].scatter(1, batch.targets[:, :1], -torch.inf).argmax(-1)
    return (said.sum(1) / batch.target_mask.sum(1)).double().numpy(), other
