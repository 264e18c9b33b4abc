"""What the small models that are trained on the spot share: a tokenizer of whole words, seeded training on a fixed
number of threads, a folder to keep them in."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

BOS = "<bos>"
UNKNOWN = "<unknown>"
WEIGHT_DECAY, FINAL_SHARE = 0.01, 0.1
Loss = Callable[[Any], Tensor]


def word_tokenizer(texts: Iterable[str], pieces: str) -> PreTrainedTokenizerFast:
    """A tokenizer that makes one token of each piece of text.

    Args:
        texts: every piece in them gets a token, in order of first use.
        pieces: regular expression of a piece; what lies between is a piece too.
    """
    splitter = pre_tokenizers.Split(Regex(pieces), behavior="isolated")
    vocabulary = {BOS: 0, UNKNOWN: 1}
    for text in texts:
        for piece, _ in splitter.pre_tokenize_str(text):
            vocabulary.setdefault(piece, len(vocabulary))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=BOS, unk_token=UNKNOWN)
    fast.clean_up_tokenization_spaces = False
    return fast


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """A context with a seeded global generator and a fixed number of threads; then both are as before."""
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@dataclass(frozen=True)
class Recipe:
    """How a small model is trained: AdamW with a decay of 0.01 over ``steps`` batches, a linear warm-up, then a cosine
    down to a tenth of the learning rate, gradients clipped at norm ``clip`` (None: not)."""

    steps: int
    learning_rate: float
    warmup: int = 10
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float | None = None

    def share(self, step: int) -> float:
        """The share of the learning rate at a step, from 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * done))


def fit(
    parameters: Iterable[torch.nn.Parameter],
    batches: Iterable[Any],
    loss: Loss,
    recipe: Recipe,
    label: str,
    progress: bool,
) -> float:
    """Train on ``recipe.steps`` batches and return the last one's loss."""
    parameters = [p for p in parameters if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, recipe.learning_rate, betas=recipe.betas, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, recipe.share)
    last = math.nan
    with torch.enable_grad(), tqdm(total=recipe.steps, desc=label, unit="step", disable=not progress) as bar:
        for batch in batches:
            value = loss(batch)
            optimiser.zero_grad()
            value.backward()
            if recipe.clip is not None:
                torch.nn.utils.clip_grad_norm_(parameters, recipe.clip)
            optimiser.step()
            schedule.step()
            last = float(value.detach())
            bar.update()
            bar.set_postfix(loss=f"{last:.3f}", refresh=False)
    return last


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a model, and its tokenizer if it has one, as a transformers folder."""
    with no_bar_for_saving():
        model.save_pretrained(folder)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)


@contextmanager
def no_bar_for_saving() -> Iterator[None]:
    """A context without transformers' own progress bar, which it shows for a single small file too."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
