"""Training of the small models that studies make on the spot: seeded, on a fixed number of threads, kept in the run."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from memcirc.demo.building import no_bar_for_saving

Loss = Callable[[Any], Tensor]


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
