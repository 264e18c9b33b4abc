"""Training on from a pretrained model: one pass over the lines, with AdamW; an interrupted one goes on.

After every few steps weights and optimiser are written down, and a later call continues from there to the same weights
as one that was never interrupted: a step depends on its number, the weights, the optimiser, and nothing else.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from memcirc.artifacts import atomic
from memcirc.demo.real.config import RealConfig
from memcirc.pretrained import load_pretrained
from memcirc.small_models import reproducible

WEIGHT_DECAY = 0.01


def train_on(start: Path, passages: Tensor, config: RealConfig, checkpoint: Path, label: str, progress: bool) -> Any:
    """Train the model of a folder on passages (ids [steps * batch_size, passage_tokens]), in their order; in eval mode.

    Args:
        checkpoint: the file to continue from, where there is one, and to write to.
    """
    with (
        reproducible(config.seed, config.threads),
        torch.enable_grad(),
        tqdm(total=config.steps, desc=label, unit="step", disable=not progress) as bar,
    ):
        model = load_pretrained(str(start), torch.float32).train()
        optimiser = torch.optim.AdamW(model.parameters(), weight_decay=WEIGHT_DECAY)
        done = resumed(checkpoint, model, optimiser)
        bar.update(done)
        for step, batch in enumerate(passages.split(config.batch_size)[done:], done):
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * min(1, (step + 1) / config.warmup)
            logits = model(batch, use_cache=False).logits[:, :-1]
            loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if (step + 1) % config.checkpoint_every == 0:
                keep(checkpoint, step + 1, model, optimiser)
            bar.update()
            bar.set_postfix(loss=f"{loss.item():.2f}", refresh=False)
    return model.eval()


def keep(checkpoint: Path, steps: int, model: Any, optimiser: torch.optim.Optimizer) -> None:
    """Write down where a training is after so many steps, in place of where it was."""
    with atomic(checkpoint) as partial:
        torch.save({"steps": steps, "model": model.state_dict(), "optimiser": optimiser.state_dict()}, partial)


def resumed(checkpoint: Path, model: Any, optimiser: torch.optim.Optimizer) -> int:
    """Put model and optimiser where the checkpoint has them; the steps done by then, none without one."""
    if not checkpoint.is_file():
        return 0
    kept = torch.load(checkpoint, weights_only=True)
    model.load_state_dict(kept["model"])
    optimiser.load_state_dict(kept["optimiser"])
    return int(kept["steps"])
