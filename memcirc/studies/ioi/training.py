"""The small model that learns the task on the spot: GPT-2's architecture, cross entropy over all tokens plus twice that
of the answer."""

import random
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

from memcirc.pairs.tokenizing import prompt_ids
from memcirc.small_models import Recipe, fit, reproducible, save, word_tokenizer
from memcirc.studies.ioi.config import IoiConfig
from memcirc.studies.ioi.prompts import ACTS, NAMES, OBJECTS, OPENINGS, PIECES, PLACES, WALKS, Words, draw

LAYERS, WIDTH, HEADS = 4, 64, 4
BATCH, LEARNING_RATE, THREADS = 64, 2e-3, 2


def train(config: IoiConfig, folder: Path, progress: bool) -> None:
    """Train the model and write it, with its tokenizer, to a folder."""
    words = [f" {word}" for part in (NAMES, ACTS, OBJECTS, PLACES, WALKS, ("and", "the", "to")) for word in part]
    tokenizer = word_tokenizer([*OPENINGS, *words, ","], PIECES)
    rng = random.Random(config.seed)

    def batches() -> Iterator[Tensor]:
        for _ in range(config.steps):
            pairs = [draw(Words(), rng, rng.random() < 0.5) for _ in range(BATCH)]
            yield torch.tensor([prompt_ids(tokenizer, pair.clean + pair.answer) for pair in pairs])

    with reproducible(config.seed, THREADS):
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=len(tokenizer), n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_positions=32, bos_token_id=0,
                eos_token_id=0, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0,
            )
        )  # fmt: skip

        def loss(batch: Tensor) -> Tensor:
            logits = model(batch, use_cache=False).logits
            everything = cross_entropy(logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten())
            return everything + 2 * cross_entropy(logits[:, -2], batch[:, -1])

        recipe = Recipe(config.steps, LEARNING_RATE, clip=1.0)
        fit(model.parameters(), batches(), loss, recipe, "training the IOI model", progress)
    save(model.eval(), tokenizer, folder)
