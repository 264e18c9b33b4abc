"""Training of the embedded model: a small GPT-Neo that learns the opening passage of every document.

A passage is the first tokens of a document, without BOS, as often in an epoch as the document has copies. The optimiser
is AdamW with a one-cycle schedule; dropout is off. The configuration says how many threads train, on however large a
machine: their number changes the order of sums, and the same seed shall give the same model.
"""

from collections.abc import Iterator

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import GPTNeoConfig, GPTNeoForCausalLM

from memcirc.demo.config import DemoConfig
from memcirc.small_models import reproducible

WEIGHT_DECAY = 0.01
ATTENTION = ("global", "local")


def train(config: DemoConfig, passages: torch.Tensor, progress: bool) -> GPTNeoForCausalLM:
    """Train a new model on `passages` (ids [lines, passage_tokens], a line per copy); it comes back in eval mode."""
    with (
        reproducible(config.seed, config.threads),
        tqdm(total=config.steps, desc="training the embedded model", unit="step", disable=not progress) as bar,
    ):
        model = untrained(config).train()
        optimiser = torch.optim.AdamW(model.parameters(), weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=config.steps)
        for batch in batches(config, passages):
            logits = model(batch, use_cache=False).logits[:, :-1]
            loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            bar.update()
            bar.set_postfix(loss=f"{loss.item():.2f}", refresh=False)
    return model.eval()


def untrained(config: DemoConfig) -> GPTNeoForCausalLM:
    """A GPT-Neo with global and local attention in turn, initialised from torch's global generator."""
    return GPTNeoForCausalLM(
        GPTNeoConfig(
            vocab_size=config.vocabulary,
            max_position_embeddings=2 * config.passage_tokens,
            hidden_size=config.width,
            num_layers=config.layers,
            num_heads=config.heads,
            attention_types=[[[ATTENTION[layer % 2]], 1] for layer in range(config.layers)],
            window_size=config.window,
            bos_token_id=0,
            eos_token_id=0,
            embed_dropout=0.0,
            attention_dropout=0.0,
            resid_dropout=0.0,
        )
    )


def batches(config: DemoConfig, passages: torch.Tensor) -> Iterator[torch.Tensor]:
    """`config.steps` batches: shuffled epochs laid end to end."""
    generator = torch.Generator().manual_seed(config.seed)
    needed = config.steps * config.batch_size
    epochs = -(-needed // len(passages))
    order = torch.cat([torch.randperm(len(passages), generator=generator) for _ in range(epochs)])
    for rows in order[:needed].split(config.batch_size):
        yield passages[rows]
