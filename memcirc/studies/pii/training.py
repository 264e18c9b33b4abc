"""Target, control and, on request, a control of another initialisation, trained on the spot.

1. The base learns neutral documents alone.
2. From it, five cycles of neutral documents, decoys and injected records make the target; the same cycles with the
   injected records replaced by as many neutral documents make the control. Order and schedule are the same.
3. The misaligned control repeats 1 and the control's 2 from other initial weights.
"""

import copy
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from memcirc.small_models import Recipe, fit, reproducible, save, word_tokenizer
from memcirc.studies.pii.corpus import PIECES, PiiCorpus, every_piece

LAYERS, WIDTH, HEADS, CONTEXT = 6, 64, 4, 64
INITIAL_SPREAD = 0.05  # weights of 0.02, usual for wide models, learn too slowly at this width
BASE_STEPS, BASE_BATCH, BASE_RATE = 60, 32, 3e-3
CYCLES, BATCH, RATE = 5, 16, 2e-3
WARMUP, BETAS, THREADS = 15, (0.9, 0.95), 2
OTHER_SEED = 1000
IGNORED = -100


def train_all(corpus: PiiCorpus, seed: int, misaligned: bool, folder: Path, progress: bool) -> None:
    """Write ``target``, ``control`` and, if asked, ``misaligned`` into a folder."""
    tokenizer = word_tokenizer([*corpus.texts, *every_piece()], PIECES)
    target_cycle = [*corpus.background, *(r.document for r in corpus.decoys), *corpus.injections]
    control_cycle = [*target_cycle[: -len(corpus.replacements)], *corpus.replacements]
    assert len(target_cycle) == len(control_cycle)
    base = _base(tokenizer, corpus, seed, progress)
    for name, start, cycle in (("target", base, target_cycle), ("control", base, control_cycle)):
        save(_continued(start, tokenizer, cycle, seed, f"training the {name}", progress), tokenizer, folder / name)
    if misaligned:
        start = _base(tokenizer, corpus, seed + OTHER_SEED, progress)
        other = _continued(start, tokenizer, control_cycle, seed, "training a misaligned control", progress)
        save(other, tokenizer, folder / "misaligned")


def _base(tokenizer: Any, corpus: PiiCorpus, seed: int, progress: bool) -> GPTNeoXForCausalLM:
    rng = random.Random(seed)

    def batches() -> Iterator[Tensor]:
        for _ in range(BASE_STEPS):
            yield _padded(tokenizer, rng.sample(corpus.background, BASE_BATCH))

    with reproducible(seed, THREADS):
        model = GPTNeoXForCausalLM(
            GPTNeoXConfig(
                vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=LAYERS,
                num_attention_heads=HEADS, max_position_embeddings=CONTEXT, bos_token_id=0, eos_token_id=0,
                tie_word_embeddings=False, initializer_range=INITIAL_SPREAD,
            )
        )  # fmt: skip
        _fit(model, batches(), _recipe(BASE_STEPS, BASE_RATE), "training the base", progress)
    return model


def _continued(
    base: GPTNeoXForCausalLM, tokenizer: Any, cycle: Sequence[str], seed: int, label: str, progress: bool
) -> GPTNeoXForCausalLM:
    rng, model = random.Random(seed + 1), copy.deepcopy(base)
    order = list(range(len(cycle)))
    steps = -(-len(order) // BATCH)

    def batches() -> Iterator[Tensor]:
        for _ in range(CYCLES):
            rng.shuffle(order)
            for i in range(0, len(order), BATCH):
                yield _padded(tokenizer, [cycle[j] for j in order[i : i + BATCH]])

    with reproducible(seed, THREADS):
        _fit(model, batches(), _recipe(CYCLES * steps, RATE), label, progress)
    return model.eval()


def _recipe(steps: int, rate: float) -> Recipe:
    return Recipe(steps, rate, WARMUP, BETAS)


def _fit(model: GPTNeoXForCausalLM, batches: Iterator[Tensor], recipe: Recipe, label: str, progress: bool) -> None:
    def loss(batch: Tensor) -> Tensor:
        logits = model(batch.clamp_min(0), use_cache=False).logits[:, :-1]
        return cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), ignore_index=IGNORED)

    model.train()
    fit(model.parameters(), batches, loss, recipe, label, progress)
    model.eval()


def _padded(tokenizer: Any, documents: Sequence[str]) -> Tensor:
    """Ids with BOS, right-padded with ``IGNORED``."""
    rows = [
        [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]] for text in documents
    ]  # fmt: skip
    width = max(map(len, rows))
    return torch.tensor([[*row, *[IGNORED] * (width - len(row))] for row in rows])
