"""A small model that copies random tokens and knows a few passages by heart, trained on both."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

from memcirc.models import Model, load_model
from memcirc.small_models import Recipe, fit, reproducible
from memcirc.verification.passages import Passages

D_VOCAB, PROMPT, LENGTH = 32, 12, 24
N_MEMORIZED, BATCH, STEPS, LEARNING_RATE = 8, 32, 350, 4e-3


def _random(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(0, D_VOCAB, shape, generator=generator)


def passages() -> Passages:
    """Those that the model learns by heart, and random tokens."""
    generator = torch.Generator().manual_seed(7)
    ids = _random((N_MEMORIZED, LENGTH), generator).numpy()
    others, ordinary = (_random((12, LENGTH), generator).numpy() for _ in range(2))
    names = tuple(f"passage-{i}" for i in range(N_MEMORIZED))
    return Passages(PROMPT, ids, np.full(N_MEMORIZED, -1), names, others, ordinary)


@cache
def copying_model() -> Model:
    """Two layers of four heads."""
    known = torch.from_numpy(passages().memorized)

    def batches() -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(1)
        for _ in range(STEPS):
            half = _random((BATCH // 2, LENGTH // 2), generator)
            rows = torch.randint(0, N_MEMORIZED, (BATCH // 2,), generator=generator)
            yield torch.cat([half.repeat(1, 2), known[rows]])

    with reproducible(0, 1):
        config = GPT2Config(
            vocab_size=D_VOCAB, n_embd=64, n_layer=2, n_head=4, n_positions=LENGTH, bos_token_id=0, eos_token_id=0,
            embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0,
        )  # fmt: skip
        model = GPT2LMHeadModel(config)

        def loss(batch: Tensor) -> Tensor:
            logits = model(batch, use_cache=False).logits
            # what is random is not to be guessed
            return cross_entropy(logits[:, PROMPT - 1 : -1].flatten(0, 1), batch[:, PROMPT:].flatten())

        fit(model.parameters(), batches(), loss, Recipe(STEPS, LEARNING_RATE, clip=1.0), "copying", False)
    return load_model(model.eval())
