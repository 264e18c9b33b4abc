"""What the small models that are trained on the spot share: a tokenizer of whole words, seeded training on a fixed
number of threads, a folder to keep them in."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
Loss = Callable[[Any], Tensor]


def word_tokenizer(texts: Iterable[str], pieces: str) -> PreTrainedTokenizerFast:
    """A token a piece of text.

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
    """A seeded global generator and a fixed number of threads; both are as before afterwards."""
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def fit(
    parameters: Iterable[torch.nn.Parameter],
    batches: Iterable[Any],
    loss: Loss,
    steps: int,
    learning_rate: float,
    label: str,
    progress: bool,
    warmup: int = 10,
    final_share: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.01,
    clip: float | None = None,
) -> float:
    """AdamW over ``steps`` batches, a linear warm-up, then a cosine down to ``final_share`` of the learning rate,
    gradients clipped at norm ``clip``; returns the last loss."""
    parameters = [p for p in parameters if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, learning_rate, betas=betas, weight_decay=weight_decay)

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = (step - warmup) / max(1, steps - warmup)
        return final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * done))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, share)
    last = math.nan
    with torch.enable_grad(), tqdm(total=steps, desc=label, unit="step", disable=not progress) as bar:
        for batch in batches:
            value = loss(batch)
            optimiser.zero_grad()
            value.backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(parameters, clip)
            optimiser.step()
            schedule.step()
            last = float(value.detach())
            bar.update()
            bar.set_postfix(loss=f"{last:.3f}", refresh=False)
    return last


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a transformers folder."""
    with no_bar_for_saving():
        model.save_pretrained(folder)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)


@contextmanager
def no_bar_for_saving() -> Iterator[None]:
    """Without transformers' own progress bar, which it shows for a single small file too."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
