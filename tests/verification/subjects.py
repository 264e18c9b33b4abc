"""A circuit of a small random model with all that the checks ask for."""

from typing import Any

import numpy as np
import torch

from memcirc.attribution.attribute import attribute
from memcirc.memorization.generation import greedy
from memcirc.models import Model
from memcirc.pairs.record import Pair, Pairs
from memcirc.verification.check import Work
from memcirc.verification.passages import Passages
from memcirc.verification.subject import Settings, Subject
from tests.models import D_VOCAB, random_pairs, small_model

QUICK: dict[str, Any] = {"n_random": 40, "curve_points": 6, "n_resamples": 50}

OWN_WAYS = ({}, {"ablation": "zero", "reverse": True}, {"objective": "answer_logprob"})


def subject(
    name: str = "gpt2", mode: str = "tree", n_edges: int = 30, model: Model | None = None, **changes: Any
) -> Subject:
    """The ``n_edges`` highest edges of a random model by EAP, measured on ten unrelated pairs."""
    model = model or small_model(name)
    train, test = documents(random_pairs(8, seed=1), "train"), documents(random_pairs(10, seed=2), "test")
    scores = attribute(model, train, "eap", **changes.pop("attribution", {}))
    settings = Settings(**{**QUICK, **changes.pop("settings", {})})
    given: dict[str, Any] = {"scores": scores, "train": train, "passages": passages(), **changes}
    return Subject(model, test, circuit=scores.top(n_edges), mode=mode, settings=settings, **given)


def records(work: Work, made: Subject) -> list[Any]:
    """What all jobs of a check give."""
    return [record for job in work.jobs(made) for record in job.run(made)]


def documents(pairs: Pairs, split: str) -> Pairs:
    """The same pairs with documents of their own."""
    items = tuple(
        Pair(p.clean_ids, p.corrupt_ids, p.answer_ids, p.wrong_answer_ids, doc_id=f"{split}-{i}", copies=1 + i % 3)
        for i, p in enumerate(pairs)
    )
    return Pairs(items, {"split": split, "bos": False})


def passages(n: int = 5, prompt_tokens: int = 4, length: int = 9, seed: int = 5) -> Passages:
    """Random passages; the memorized ones have 1 or 2 copies."""
    ids = torch.randint(0, D_VOCAB, (3, n, length), generator=torch.Generator().manual_seed(seed)).numpy()
    names = tuple(f"passage-{i}" for i in range(n))
    return Passages(prompt_tokens, ids[0], np.arange(n) % 2 + 1, names, ids[1], ids[2])


def branch_subject(n_pairs: int = 12, length: int = 4, rest: int = 12, **attribution: object) -> tuple[Subject, Pairs]:
    """A subject whose training pairs are branch decisions of known passages, and such pairs for the test: the truth is
    what the model says behind clean."""
    model = small_model("gpt2")
    parts = []
    for seed in (1, 2):
        prompts = random_pairs(n_pairs, lengths=length, shared=length - 1, seed=seed)
        said = greedy(model, torch.tensor([p.clean_ids for p in prompts]), rest).tolist()
        wrong = greedy(model, torch.tensor([p.corrupt_ids for p in prompts]), rest).tolist()
        items, windows = [], {}
        for i, (pair, truth, other) in enumerate(zip(prompts, said, wrong, strict=True)):
            if truth[0] != other[0]:
                name = f"doc-{seed}-{i}"
                items.append(
                    Pair(pair.clean_ids, pair.corrupt_ids, (truth[0],), (other[0],), doc_id=name, divergence=length - 1)
                )
                windows[name] = [(*pair.clean_ids, *truth)]
        parts.append((Pairs(tuple(items)), windows))
    base = passages()
    text = type(base)(
        4, base.memorized, base.copies, base.doc_ids, base.others, base.ordinary, {**parts[0][1], **parts[1][1]}
    )
    return subject(model=model, train=parts[0][0], passages=text, attribution=attribution), parts[1][0]
