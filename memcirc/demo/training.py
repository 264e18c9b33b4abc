"""Training of the embedded models: small GPT-Neos that learn the opening passage of every document.

A passage is the first tokens of a document, without BOS, as often in an epoch as the document has copies. The optimiser
is AdamW with a one-cycle schedule; dropout is off. The configuration says how many threads train a model, on however
large a machine: their number changes the order of sums, and the same seed shall give the same model.

Models that are trained together have the same start and see their lines in the same order:

1. The first steps are taken once, on the lines of the last of them (the twin), and shared: so the two go on from the
   same place, and learn to write in the same basis.
2. Then each goes on with its own lines, optimiser and schedule, in a thread of its own: what one of them computes does
   not depend on the others, and one uses the processors while another cannot.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from copy import deepcopy
from itertools import islice
from threading import Event
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import GPTNeoConfig, GPTNeoForCausalLM

from memcirc.demo.config import DemoConfig
from memcirc.small_models import reproducible

WEIGHT_DECAY = 0.01
ATTENTION = ("global", "local")


class Learner:
    """A model with its optimiser and schedule, before its first step; the configuration's seed alone decides it."""

    def __init__(self, config: DemoConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.model = untrained(config).train()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), weight_decay=WEIGHT_DECAY)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.learning_rate, total_steps=config.steps
        )

    def fork(self) -> "Learner":
        """Another one at the same place, which shares nothing with it."""
        other = Learner(self.config)
        for name in ("model", "optimiser", "schedule"):
            getattr(other, name).load_state_dict(deepcopy(getattr(self, name).state_dict()))
        return other

    def learn(self, batches: Iterable[torch.Tensor], stopped: Event, bar: "tqdm[Any]") -> None:
        """A step on each batch (ids [batch, passage_tokens]), until there is none left or the others have failed."""
        for batch in batches:
            if stopped.is_set():
                return
            logits = self.model(batch, use_cache=False).logits[:, :-1]
            loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.schedule.step()
            bar.update()
            bar.set_postfix(loss=f"{loss.item():.2f}", refresh=False)


def train(
    config: DemoConfig, passages: Sequence[torch.Tensor], progress: bool, order: int | None = None
) -> list[GPTNeoForCausalLM]:
    """Train a model on each tensor of passages (ids [lines, passage_tokens], a line per copy); they come back in eval
    mode.

    Args:
        progress: whether to show a bar, of the first model's steps.
        order: seed of the lines' order behind the shared steps; default: the configuration's seed.
    """
    stopped = Event()
    with (
        reproducible(config.seed, config.threads),
        tqdm(total=config.steps, desc="training the embedded models", unit="step", disable=not progress) as bar,
        tqdm(disable=True) as hidden,
        ThreadPoolExecutor(len(passages)) as pool,
    ):
        trunk = Learner(config)
        trunk.learn(islice(batches(config, passages[-1], config.seed), config.shared_steps), stopped, bar)
        learners = [trunk.fork() for _ in passages]
        order = config.seed if order is None else order
        learning = [
            pool.submit(
                learner.learn,
                islice(batches(config, lines, order), config.shared_steps, None),
                stopped,
                hidden if number else bar,
            )
            for number, (learner, lines) in enumerate(zip(learners, passages, strict=True))
        ]
        try:
            wait(learning, return_when=FIRST_EXCEPTION)
        finally:
            stopped.set()  # by a key or by an error in one of them, the others end too
        for each in learning:
            each.result()
    return [learner.model.eval() for learner in learners]


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


def batches(config: DemoConfig, passages: torch.Tensor, seed: int) -> Iterator[torch.Tensor]:
    """`config.steps` batches: shuffled epochs laid end to end, in an order of the seed."""
    generator = torch.Generator().manual_seed(seed)
    needed = config.steps * config.batch_size
    epochs = -(-needed // len(passages))
    order = torch.cat([torch.randperm(len(passages), generator=generator) for _ in range(epochs)])
    for rows in order[:needed].split(config.batch_size):
        yield passages[rows]
