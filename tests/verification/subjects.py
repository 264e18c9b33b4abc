"""A circuit of a small random model with all that the checks ask for."""

from typing import Any

import numpy as np
import torch

from memcirc.attribution.attribute import attribute
from memcirc.models import Model
from memcirc.pairs.record import Pair, Pairs
from memcirc.verification.passages import Passages
from memcirc.verification.subject import Settings, Subject
from tests.models import D_VOCAB, random_pairs, small_model

QUICK: dict[str, Any] = {"n_random": 40, "curve_points": 6, "n_resamples": 50}


def subject(
    name: str = "gpt2", mode: str = "tree", n_edges: int = 30, model: Model | None = None, **changes: Any
) -> Subject:
    """The ``n_edges`` highest edges of a random model by EAP, measured on ten unrelated pairs."""
    model = model or small_model(name)
    train, test = documents(random_pairs(8, seed=1), "train"), documents(random_pairs(10, seed=2), "test")
    scores = attribute(model, train, "eap", **changes.pop("attribution", {}))
    settings = Settings(**{**QUICK, **changes.pop("settings", {})})
    given: dict[str, Any] = {"scores": scores, "train": train, "passages": passages(), **changes}
    return Subject(model, test, scores.top(n_edges), mode, settings, **given)


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
